"""Sessions: what is ingested comes back equal; unfinished work goes on; nothing is left broken."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from stempede.errors import InputError, ResultsError
from stempede.frames import Calibration, FrameRecord, Frames
from stempede.io.ingest import ingest, write_session
from stempede.io.sources import open_frames
from vendor_files import write_dm3

RNG = np.random.default_rng(11)


@pytest.fixture
def source(tmp_path):
    """Four shapes and dtypes, a stack, a bad file, labels and a scale bar."""
    folder = tmp_path / "in"
    folder.mkdir()
    stack = RNG.integers(0, 9999, (3, 21, 34), np.uint16)
    tifffile.imwrite(
        folder / "stack.tif", stack, imagej=True, resolution=(4, 4), metadata={"unit": "nm"}
    )
    tifffile.imwrite(folder / "float.tif", RNG.normal(size=(15, 18)))
    tifffile.imwrite(folder / "zero.tif", np.zeros((15, 18), np.int16))
    write_dm3(folder / "a b.dm3", {"HAADF": stack[0]}, (0.02, 0.03), "nm")
    (folder / "text.tif").write_text("text")
    return folder


def open_source(folder):
    table = folder.parent / "labels.csv"
    table.write_text("glob,sample,phase,gain_per_electron\n*.tif,A,,\n*.dm3,B,gamma,2.5\n")
    return open_frames(
        folder, metadata=table, scale_bar_nm=20, exclude=[(0, 0, 2, 5)], frames=slice(1, None)
    )


def assert_equal_sessions(found, expected):
    assert found.records == expected.records
    assert found.label_names == expected.label_names
    for record in expected.readable:
        read = found.reader(record)
        assert read.dtype == record.dtype
        np.testing.assert_array_equal(read, expected.reader(record))


@pytest.mark.parametrize("codec", ["blosc-lz4", "zstd", "none"])
@pytest.mark.parametrize("options", [{"workers": 1}, {"workers": 4}, {"frames_per_shard": 2}])
def test_a_session_comes_back_equal(source, tmp_path, codec, options):
    frames = open_source(source)
    seen = []
    report = ingest(
        frames,
        tmp_path / "s.zarr",
        codec=codec,
        progress=lambda done, total: seen.append((done, total)),
        **options,
    )
    assert_equal_sessions(open_frames(tmp_path / "s.zarr"), frames)
    assert (report.n_frames, report.n_stacks, report.n_problems) == (6, 3, 1)
    assert seen[0] == (0, 5)
    assert seen[-1] == (5, 5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "labels.csv", "s.zarr"]


def test_a_session_is_what_other_programs_expect(source, tmp_path):
    ingest(open_source(source), tmp_path / "s.zarr")
    root = zarr.open_group(tmp_path / "s.zarr", mode="r")
    assert root.metadata.zarr_format == 3
    table = pq.read_table(tmp_path / "s.zarr" / "frames.parquet").to_pylist()
    assert [row["frame"] for row in table] == [1, 2, 3, 4, 5, 6]
    row = table[0]
    assert row["source"].endswith("float.tif")
    for name in ("page", "stack", "row", "pixel_size_nm", "acquired_at", "dose_e_per_A2", "phase"):
        assert name in row
    stacks = {r["stack"] for r in table if r["stack"] >= 0}
    assert [r["problem"] is None for r in table] == [r["stack"] >= 0 for r in table]
    for k in stacks:
        group = root[f"stacks/{k}"]
        (image,) = group.attrs["ome"]["multiscales"]
        assert group.attrs["ome"]["version"] == "0.5"
        assert [a["name"] for a in image["axes"]] == ["t", "y", "x"]
        array = group[image["datasets"][0]["path"]]
        assert array.chunks == (1, *array.shape[1:])
        assert array.metadata.dimension_names == ("t", "y", "x")
    assert root["OME"].attrs["ome"]["series"] == [f"stacks/{k}" for k in sorted(stacks)]
    # each stack opens as a plain OME-Zarr image too, with its pixel size
    stack = next(r["stack"] for r in table if r["source"].endswith("stack.tif"))
    plain = open_frames(tmp_path / "s.zarr" / "stacks" / str(stack))
    assert plain.records[0].calibration == Calibration(0.25, 0.25, "file")
    assert len(plain) == 3


def test_vendor_metadata_are_kept(source, tmp_path):
    frames = open_frames(source / "a b.dm3")
    ingest(frames, tmp_path / "s.zarr")
    again = open_frames(tmp_path / "s.zarr")
    facts = again.reader.facts(again.records[0])
    tags = facts["original_metadata"]["ImageList"]["TagGroup0"]["ImageTags"]
    assert tags["DigiScan"]["Sample Time"] == 12.5
    # a session of a session keeps them still, and the first source
    ingest(again, tmp_path / "t.zarr")
    twice = open_frames(tmp_path / "t.zarr")
    assert twice.reader.facts(twice.records[0]) == facts
    assert twice.records[0].source.endswith("a b.dm3")


def test_sessions_and_files_can_be_read_together(source, tmp_path):
    ingest(open_source(source), tmp_path / "s.zarr")
    both = open_frames([tmp_path / "s.zarr", source / "a b.dm3"])
    assert [r.frame for r in both.records] == list(range(7))
    for record in both.readable:
        assert both.reader(record).shape == record.shape


def test_options_apply_to_sessions_too(source, tmp_path):
    ingest(open_source(source), tmp_path / "s.zarr")
    frames = open_frames(tmp_path / "s.zarr", pixel_size_nm=2, sample="other")
    assert {r.calibration.source for r in frames.records} == {"set"}
    assert {r.labels["sample"] for r in frames.records} == {"other"}


class Broken:
    """A reader that fails on one frame, in the way asked for."""

    def __init__(self, reader, frame, error):
        self.reader, self.frame, self.error = reader, frame, error

    def __call__(self, record):
        if record.frame == self.frame:
            raise self.error
        return self.reader(record)


@pytest.mark.parametrize("error", [InputError("is torn"), RuntimeError("deep down"), ValueError()])
def test_a_frame_that_fails_while_it_is_copied_is_a_problem_row(source, tmp_path, error):
    frames = open_source(source)
    report = ingest(replace(frames, reader=Broken(frames.reader, 3, error)), tmp_path / "s.zarr")
    found = open_frames(tmp_path / "s.zarr")
    assert report.n_problems == 2
    assert str(error) in {r.frame: r.problem for r in found.records}[3]
    assert len(found.readable) == 4


def test_no_readable_frame_leaves_nothing(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.tif").write_text("text")
    frames = open_frames(tmp_path / "in")
    with pytest.raises(InputError, match="none that can be read"):
        ingest(frames, tmp_path / "s.zarr")
    tifffile.imwrite(tmp_path / "in" / "a.tif", np.zeros((9, 9)))
    frames = open_frames(tmp_path / "in")
    broken = replace(frames, reader=Broken(frames.reader, 0, InputError("is torn")))
    with pytest.raises(InputError, match="is torn"):
        ingest(broken, tmp_path / "s.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_destinations_that_cannot_be_used(source, tmp_path):
    frames = open_source(source)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("mine")
    with pytest.raises(ResultsError, match="files in it"):
        ingest(frames, tmp_path / "full")
    with pytest.raises(ResultsError, match="found the file"):
        ingest(frames, source / "text.tif")
    with pytest.raises(ResultsError, match="cannot write"):
        ingest(frames, source / "text.tif" / "s.zarr")
    with pytest.raises(ResultsError, match="codec is one of"):
        ingest(frames, tmp_path / "s.zarr", codec="zip")
    assert (tmp_path / "full" / "x").read_text() == "mine"
    assert not (tmp_path / "s.zarr").exists()
    (tmp_path / "empty.zarr").mkdir()
    ingest(frames, tmp_path / "empty.zarr")
    assert len(open_frames(tmp_path / "empty.zarr")) == 6


def test_a_full_disk_keeps_what_is_done_and_goes_on_later(source, tmp_path, monkeypatch):
    frames = open_source(source)
    written = []

    def fill_up(array, key, value, original=zarr.Array.__setitem__):
        written.append(key)
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(array, key, value)

    with monkeypatch.context() as patch:
        patch.setattr(zarr.Array, "__setitem__", fill_up)
        with pytest.raises(ResultsError, match=r"disk is full.*goes on"):
            ingest(frames, tmp_path / "s.zarr", workers=1)
    assert not (tmp_path / "s.zarr").exists()
    report = ingest(frames, tmp_path / "s.zarr", workers=1)
    assert report.n_resumed == 2
    assert_equal_sessions(open_frames(tmp_path / "s.zarr"), frames)


def test_two_ingests_into_one_place(source, tmp_path):
    frames = open_source(source)
    started, go_on = threading.Event(), threading.Event()

    def slow(record):
        started.set()
        go_on.wait(20)
        return frames.reader(record)

    thread = threading.Thread(
        target=ingest, args=(replace(frames, reader=slow), tmp_path / "s.zarr")
    )
    thread.start()
    started.wait(20)
    try:
        with pytest.raises(ResultsError, match="another process"):
            ingest(frames, tmp_path / "s.zarr")
    finally:
        go_on.set()
        thread.join()
    assert_equal_sessions(open_frames(tmp_path / "s.zarr"), frames)


def test_other_frames_unfinished_work_is_not_mixed_in(source, tmp_path):
    frames = open_source(source)

    def stop(record):
        if record.frame == 4:
            raise KeyboardInterrupt
        return frames.reader(record)

    with pytest.raises(KeyboardInterrupt):
        ingest(replace(frames, reader=stop), tmp_path / "s.zarr", workers=1)
    assert (tmp_path / ".s.zarr.partial").is_dir()
    tifffile.imwrite(source / "float.tif", RNG.normal(size=(15, 18)))
    changed = open_source(source)
    report = ingest(changed, tmp_path / "s.zarr")
    assert report.n_resumed == 0
    assert_equal_sessions(open_frames(tmp_path / "s.zarr"), changed)


KILLED = """
    import sys, time
    from dataclasses import replace
    from stempede.io.ingest import ingest
    from stempede.io.sources import open_frames
    frames = open_frames(sys.argv[1])
    def slow(record):
        print(record.frame, flush=True)
        time.sleep(0.02)
        return frames.reader(record)
    ingest(replace(frames, reader=slow), sys.argv[2], workers=2)
"""


def test_a_killed_ingest_goes_on_where_it_was(tmp_path):
    (tmp_path / "in").mkdir()
    for k in range(40):
        tifffile.imwrite(tmp_path / "in" / f"{k}.tif", RNG.integers(0, 9, (32, 48), np.uint8))
    target = tmp_path / "s.zarr"
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path / "in"), str(target)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    for _ in range(12):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not target.exists()
    frames = open_frames(tmp_path / "in")
    read = []

    def counting(record):
        read.append(record.frame)
        return frames.reader(record)

    report = ingest(replace(frames, reader=counting), target)
    assert report.n_resumed >= 8
    assert len(read) == 40 - report.n_resumed
    assert_equal_sessions(open_frames(target), frames)
    # an uninterrupted ingest gives the same pixels and rows
    ingest(frames, tmp_path / "u.zarr")
    whole, resumed = (
        pq.read_table(p / "frames.parquet").drop_columns("vendor_metadata")
        for p in (tmp_path / "u.zarr", target)
    )
    assert whole.equals(resumed)


def test_a_torn_journal_line_is_copied_again(source, tmp_path):
    frames = open_source(source)

    def stop(record):
        if record.frame == 4:
            raise KeyboardInterrupt
        return frames.reader(record)

    with pytest.raises(KeyboardInterrupt):
        ingest(replace(frames, reader=stop), tmp_path / "s.zarr", workers=1)
    journal = tmp_path / ".s.zarr.partial" / ".journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:9])
    report = ingest(frames, tmp_path / "s.zarr", workers=1)
    assert report.n_resumed == len(lines) - 1
    assert_equal_sessions(open_frames(tmp_path / "s.zarr"), frames)


def stream(n, seed=0):
    rng = np.random.default_rng(seed)
    for k in range(n):
        image = rng.integers(0, 500, (9 + k % 2, 13), np.uint16)
        yield (
            image,
            FrameRecord(
                k, "", 0, (0, 0), "", Calibration(0.1, 0.1, "set"), {"sample": "simulated"}
            ),
        )


@given(st.integers(1, 40))
@settings(max_examples=6, deadline=None)
def test_frames_that_arrive_one_by_one(tmp_path_factory, n):
    target = tmp_path_factory.mktemp("stream") / "s.zarr"
    report = write_session(target, stream(n), notes=["made here"])
    frames = open_frames(target)
    assert report.n_frames == len(frames) == n
    assert frames.notes == ("made here",)
    assert frames.label_names == ("sample",)
    for (image, _), record in zip(stream(n), frames.records):
        assert record.source == target.as_posix()
        np.testing.assert_array_equal(frames.reader(record), image)


def test_a_stream_that_fails_leaves_nothing(tmp_path):
    def failing():
        yield from stream(3)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_session(tmp_path / "s.zarr", failing())
    with pytest.raises(InputError, match="found none"):
        write_session(tmp_path / "s.zarr", iter(()))
    with pytest.raises(InputError, match="twice"):
        write_session(tmp_path / "s.zarr", ((i, replace(r, frame=0)) for i, r in stream(2)))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_session_says_so(source, tmp_path):
    ingest(open_source(source), tmp_path / "s.zarr")
    root = json.loads((tmp_path / "s.zarr" / "zarr.json").read_text())
    root["attributes"]["stempede"]["format"] = 99
    (tmp_path / "s.zarr" / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(InputError, match="upgrade"):
        open_frames(tmp_path / "s.zarr")
    (tmp_path / "s.zarr" / "frames.parquet").write_bytes(b"PAR1")
    root["attributes"]["stempede"]["format"] = 1
    (tmp_path / "s.zarr" / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(InputError, match="ingest it again"):
        open_frames(tmp_path / "s.zarr")


def test_ingest_holds_few_frames_at_a_time(tmp_path):
    alive, most = [0], [0]
    guard = threading.Lock()

    def reader(record):
        with guard:
            alive[0] += 1
            most[0] = max(most[0], alive[0])
        time.sleep(0.001)
        with guard:
            alive[0] -= 1
        return np.full(record.shape, record.frame, np.uint8)

    records = tuple(FrameRecord(k, f"/nowhere/{k}", 0, (8, 8), "uint8") for k in range(50))
    ingest(Frames(records, reader), tmp_path / "s.zarr", workers=3)
    assert most[0] <= 3
    frames = open_frames(tmp_path / "s.zarr")
    assert [int(frames.reader(r).max()) for r in frames.records] == list(range(50))
    assert Path(frames.records[0].source).name == "0"
