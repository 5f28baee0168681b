"""Bad frames become rows, bad outputs start nothing; each says what was wanted, found, to do."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, replace

import numpy as np
import pytest

import tiny
from stempede.errors import InputError, ResultsError
from stempede.frames import FrameRecord, Frames
from stempede.io.results import Results
from stempede.session import RunOptions, Session

ONE = RunOptions(device="cpu", workers=1)


@dataclass(frozen=True)
class Bad:
    """Frame k is spoilt in the k-th way; the others are painted as ever."""

    def __call__(self, record: FrameRecord) -> np.ndarray:
        image = tiny.Painter()(replace(record, shape=(40, 53))).astype(np.float32)
        ways = {
            1: lambda: np.full_like(image, np.nan),
            2: lambda: np.full_like(image, 7),
            3: lambda: np.ones((1, 1), np.uint8),
            4: lambda: image[:9],
            5: self._truncated,
            6: lambda: np.where(np.arange(image.shape[1]) < 9, np.nan, image),
        }
        return ways.get(record.frame, lambda: image)()

    def _truncated(self) -> np.ndarray:
        raise EOFError("end of file after 12 of 64 strips")


def spoilt(n: int = 8) -> Frames:
    frames = tiny.session(n, odd=False)
    records = [
        replace(r, shape=(1, 1)) if r.frame == 3 else replace(r, dtype="float32")
        for r in frames.records
    ]
    return Frames(tuple(records), Bad())


def test_spoilt_frames_are_rows_that_say_why(tmp_path) -> None:
    session = Session(tiny.recipe(), spoilt(), tmp_path / "run", ONE)
    session.run()
    frames, problems = session.table("frames"), session.table("problems")
    assert np.flatnonzero(frames["state"] == "measured").tolist() == [0, 6, 7]
    reasons = dict(zip(problems["frame"].tolist(), problems["reason"].tolist()))
    assert reasons[1] == "holds no finite pixel"
    assert "one value only (7)" in reasons[2]
    assert "1 x 1 px; at least 8 x 8 needed" in reasons[3]
    assert "but its file announced (40, 53)" in reasons[4]
    assert "EOFError: end of file after 12 of 64 strips" in reasons[5]
    assert session.results.run["counts"] == {
        "frames": 8,
        "measured": 3,
        "problems": 5,
        "particles": len(session.table("particles")),
        "accepted": int(session.table("particles")["accepted"].sum()),
    }


def test_pixels_that_are_not_finite_hold_no_particle(tmp_path) -> None:
    session = Session(tiny.recipe(), spoilt(), tmp_path / "run", ONE)
    session.run()
    labels = session.results.maps.read("labels", 6)
    assert not labels[:, :9].any()
    assert labels[:, 9:].any()


def test_no_frame_at_all(tmp_path) -> None:
    with pytest.raises(InputError, match="wanted frames, found none"):
        Session(tiny.recipe(), tiny.session(0), tmp_path / "run", ONE).run()
    assert not (tmp_path / "run").exists()


def test_without_a_pixel_size_lengths_in_nm_are_null(tmp_path) -> None:
    frames = tiny.session(2, odd=False)
    bare = tuple(FrameRecord(r.frame, r.source, 0, r.shape, r.dtype) for r in frames.records)
    session = Session(tiny.recipe(), replace(frames, records=bare), tmp_path / "run", ONE)
    session.run()
    assert np.isnan(session.table("frames")["pixel_size_nm"]).all()


@pytest.mark.parametrize("occupied", ["notes.txt", "file"])
def test_an_occupied_output_starts_nothing(tmp_path, occupied: str) -> None:
    out = tmp_path / "run"
    if occupied == "file":
        out.write_text("mine")
    else:
        out.mkdir()
        (out / occupied).write_text("mine")
    with pytest.raises(ResultsError, match="choose another"):
        Session(tiny.recipe(), tiny.session(2), out, ONE).run()
    assert (out if occupied == "file" else out / occupied).read_text() == "mine"


def test_a_second_run_into_the_folder_of_a_living_one(tmp_path) -> None:
    out = tmp_path / "run"
    said = []

    def intrude(*_: object) -> None:
        for other in (Session(tiny.recipe(), tiny.session(2), out, ONE), None):
            with pytest.raises(ResultsError) as caught:
                (other or Session.resume(out, frames=tiny.session(4))).run()
            said.append(str(caught.value))

    Session(tiny.recipe(), tiny.session(4), out, ONE).run(progress=intrude)
    assert all(f"another process (pid {os.getpid()} on" in s for s in said)
    assert len(said) >= 2
    assert Results(out).run["state"] == "done"


def test_a_disk_that_fills_up_keeps_what_was_measured(tmp_path, monkeypatch) -> None:
    out = tmp_path / "run"
    flush = os.fsync

    def full(descriptor: int) -> None:
        if (out / "frames").is_dir() and len(list((out / "frames").glob("part-*"))) >= 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResultsError, match="the disk is full; free some space"):
        Session(tiny.recipe(), tiny.session(9), out, ONE).run()
    monkeypatch.undo()
    assert len(Results(out).done_chunks()) == 2
    assert not list(out.glob("*/.part*"))
    results = Session.resume(out, frames=tiny.session(9)).run()
    whole = Session(tiny.recipe(), tiny.session(9), tmp_path / "whole", ONE).run()
    tiny.assert_same(results.read("particles"), whole.read("particles"))
    assert results.run["state"] == "done"


def test_a_failure_before_the_first_chunk_leaves_no_folder(tmp_path, monkeypatch) -> None:
    frames = tiny.session(4)
    recipe = tiny.recipe()
    monkeypatch.setattr(type(recipe.of_kind("prepare")[0]), "__call__", _broken)
    with pytest.raises(ResultsError, match=r"prepare 'tiny\.level' failed on the first 3 frames"):
        Session(recipe, frames, tmp_path / "deep" / "run", ONE).run()
    assert list(tmp_path.iterdir()) == []


def test_a_reduction_that_fails_keeps_the_frames(tmp_path, monkeypatch) -> None:
    recipe = tiny.recipe()
    monkeypatch.setattr(type(recipe.of_kind("reduce")[0]), "__call__", _broken)
    with pytest.raises(ResultsError, match=r"all frames are measured, but 'tiny\.sizes' failed"):
        Session(recipe, tiny.session(4), tmp_path / "run", ONE).run()
    run = Results(tmp_path / "run").run
    assert (run["state"], run["reduced"], run["counts"]["frames"]) == ("interrupted", False, 4)
    monkeypatch.undo()
    assert Session.resume(tmp_path / "run", frames=tiny.session(4)).run().run["state"] == "done"


def _broken(*_: object) -> None:
    raise ZeroDivisionError("no mean of nothing")
