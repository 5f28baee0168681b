from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from stempede.errors import ResultsError
from stempede.io import atomic
from stempede.io.results import Results
from stempede.tables import FRAMES, PARTICLES, Field, Schema, Table


def particles(*frames: int) -> Table:
    rows = [{"frame": f, "particle": 0, "area_px2": 9.5, "reject_reason": "é"} for f in frames]
    return Table.from_rows(PARTICLES, rows)


def frames(*numbers: int) -> Table:
    return Table.from_rows(FRAMES, [{"frame": f, "state": "measured"} for f in numbers])


def test_parts_make_a_table_in_frame_order(tmp_path) -> None:
    results = Results.create(tmp_path / "run", {"state": "running"})
    results.write_chunk(1, {"frames": frames(1, 3), "particles": particles(1, 3)})
    assert results.done_chunks() == {1}
    results.write_chunk(0, {"frames": frames(0, 2), "particles": particles(2, 0, 0)})
    assert results.done_chunks() == {0, 1}
    assert results.tables() == ["frames", "particles"]
    assert results.read("particles")["frame"].tolist() == [0, 0, 1, 2, 3]
    assert pq.read_table(tmp_path / "run" / "particles").num_rows == 5
    results.lock.release()


def test_missing_values_units_and_empty_tables_survive(tmp_path) -> None:
    results = Results.create(tmp_path / "run", {})
    results.write_chunk(0, {"frames": frames(), "particles": particles(0)})
    assert len(results.read("frames")) == 0
    back = results.read("particles")
    tiny.assert_same(back, particles(0))
    assert back["group"].tolist() == [-1]
    assert np.isnan(back["area_nm2"][0])
    field = pq.read_schema(tmp_path / "run/particles/part-00000.parquet").field("area_nm2")
    assert field.metadata[b"unit"] == b"nm^2"
    results.lock.release()


def test_fields_that_were_never_declared_are_read_as_found(tmp_path) -> None:
    schema = Schema("mine", (Field("frame", "int64"), Field("speed_nm", "float64", "nm", "how")))
    results = Results.create(tmp_path / "run", {})
    results.write_table("mine", Table(schema, {"frame": [3], "speed_nm": [0.5]}))
    assert results.read("mine").schema == schema
    results.lock.release()


def test_a_table_of_the_run_is_rewritten_part_by_part(tmp_path) -> None:
    results = Results.create(tmp_path / "run", {})
    chunks = [[0, 2], [1]]
    for k, numbers in enumerate(chunks):
        results.write_chunk(k, {"frames": frames(*numbers), "particles": particles(*numbers)})
    whole = results.read("particles")
    results.write_table("particles", whole.with_columns({"group": [5, 6, 7]}), chunks)
    assert results.read("particles")["group"].tolist() == [5, 6, 7]
    assert pq.read_table(tmp_path / "run/particles/part-00001.parquet")["group"].to_pylist() == [6]
    results.lock.release()


def test_run_json_is_changed_field_by_field(tmp_path) -> None:
    results = Results.create(tmp_path / "run", {"state": "running", "n": 3})
    results.update(state="done")
    assert Results(tmp_path / "run").run == {"state": "done", "n": 3}
    results.lock.release()


def test_a_folder_without_a_run(tmp_path) -> None:
    with pytest.raises(ResultsError, match=r"found no run\.json"):
        Results(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ResultsError, match="cannot read"):
        _ = Results(tmp_path).run
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(ResultsError, match="has no table 'cells'; it has none yet"):
        Results(tmp_path).read("cells")


def test_prepared_numbers_are_kept(tmp_path) -> None:
    results = Results.create(tmp_path / "run", {})
    assert results.read_prepared("tiny.level") is None
    results.write_prepared("tiny.level", {"level": 0.1 + 0.2})
    assert results.read_prepared("tiny.level") == {"level": 0.1 + 0.2}
    results.lock.release()


def test_sweep_removes_what_was_half_written(tmp_path) -> None:
    results = Results.create(tmp_path / "run", {})
    results.write_chunk(0, {"frames": frames(0)})
    (results.path / "frames" / ".part-00001.parquet-ab").write_bytes(b"half")
    (results.path / ".run.json-ab").write_bytes(b"half")
    results.sweep()
    assert sorted(p.name for p in results.path.rglob("*")) == [
        ".lock",
        "frames",
        "part-00000.parquet",
        "run.json",
    ]
    results.lock.release()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(width=64) | st.none(), max_size=5), st.text(max_size=4))
def test_any_value_survives(tmp_path_factory, areas, word) -> None:
    word = word.replace("\x00", "").encode("utf-8", "ignore").decode()
    rows = [{"frame": k, "area_px2": a, "reject_reason": word} for k, a in enumerate(areas)]
    table = Table.from_rows(PARTICLES, rows)
    results = Results.create(tmp_path_factory.mktemp("any") / "run", {})
    results.write_table("particles", table)
    tiny.assert_same(results.read("particles"), table)
    results.discard()


class TestOutputFolder:
    def test_not_empty(self, tmp_path) -> None:
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(ResultsError, match=r"wanted an empty folder, found 1 entries.*notes"):
            Results.create(tmp_path, {})
        assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]

    def test_holds_a_run(self, tmp_path) -> None:
        Results.create(tmp_path / "run", {"state": "interrupted"}).lock.release()
        with pytest.raises(ResultsError, match=r"state: interrupted.*stempede resume .*run"):
            Results.create(tmp_path / "run", {})

    def test_a_file_in_the_way(self, tmp_path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(ResultsError, match="found a file"):
            Results.create(tmp_path / "file", {})
        with pytest.raises(ResultsError, match="a file is in the way"):
            Results.create(tmp_path / "file" / "deep" / "run", {})

    def test_not_writable_leaves_no_folder(self, tmp_path, monkeypatch) -> None:
        def refuse(self: Path, *args, **kwargs):
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)
        with pytest.raises(ResultsError, match="not writable; choose another"):
            Results.create(tmp_path / "a" / "run", {})
        assert list(tmp_path.iterdir()) == []

    def test_read_only_place(self) -> None:
        with pytest.raises(ResultsError, match="cannot write"):
            Results.create("/proc/stempede/run", {})

    def test_disk_full_leaves_nothing_half_written(self, tmp_path, monkeypatch) -> None:
        results = Results.create(tmp_path / "run", {})
        monkeypatch.setattr(os, "fsync", _full)
        with pytest.raises(ResultsError, match="the disk is full; free some space"):
            results.write_chunk(0, {"frames": frames(0), "particles": particles(0)})
        assert results.done_chunks() == set()
        assert list(results.path.glob("*/*")) == []
        monkeypatch.undo()
        results.lock.release()

    def test_disk_full_at_the_start_leaves_no_folder(self, tmp_path, monkeypatch) -> None:
        monkeypatch.setattr(os, "fsync", _full)
        with pytest.raises(ResultsError, match="the disk is full"):
            Results.create(tmp_path / "a" / "run", {})
        assert list(tmp_path.iterdir()) == []


def _full(_: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


class TestLock:
    def test_two_runs_into_one_folder(self, tmp_path) -> None:
        first = Results.create(tmp_path / "run", {})
        with pytest.raises(
            ResultsError, match=rf"another process \(pid {os.getpid()} on .*writing"
        ):
            Results.create(tmp_path / "run", {})
        second = Results(tmp_path / "run")
        with pytest.raises(ResultsError, match="for this run alone"):
            second.lock.acquire()
        first.lock.release()
        with second.lock:
            assert (tmp_path / "run" / atomic.LOCK).is_file()
        assert not (tmp_path / "run" / atomic.LOCK).exists()

    def test_the_lock_of_a_killed_process_is_no_obstacle(self, tmp_path) -> None:
        (tmp_path / "run").mkdir()
        code = (
            "import os, signal, pathlib, sys\n"
            "from stempede.io.atomic import Lock\n"
            "lock = Lock(pathlib.Path(sys.argv[1]))\n"
            "lock.acquire()\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        command = [sys.executable, "-c", code, str(tmp_path / "run")]
        subprocess.run(command, check=False, env=tiny.environment())
        assert "pid" in (tmp_path / "run" / atomic.LOCK).read_text()
        Results.create(tmp_path / "run", {}).lock.release()
