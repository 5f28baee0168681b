"""Maps kept by a run: what is written comes back, whole, from whichever process wrote it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr

from stempede.errors import ResultsError
from stempede.io import maps as maps_module
from stempede.io.maps import MapStore


def _stack(seed: int, shape: tuple[int, int, int], dtype: str) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 90, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool", "float32"])
def test_what_is_written_comes_back(tmp_path: Path, dtype: str) -> None:
    store = MapStore(tmp_path)
    wide, tall = _stack(0, (3, 17, 31), dtype), _stack(1, (1, 63, 9), dtype)
    store.write("labels", [4, 11, 1234567], wide)
    store.write("labels", [7], tall)
    assert store.names() == ["labels"]
    assert store.frames("labels") == [4, 7, 11, 1234567]
    for frame, expected in zip([4, 11, 1234567, 7], [*wide, tall[0]]):
        found = store.read("labels", frame)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_writing_again_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    store = MapStore(tmp_path)
    store.write("labels", [3], _stack(0, (1, 5, 8), "int32"))
    later = _stack(1, (1, 5, 8), "int32")
    store.write("labels", [3], later)
    np.testing.assert_array_equal(store.read("labels", 3), later[0])
    assert sorted(p.name for p in (tmp_path / "maps.zarr" / "labels").iterdir()) == [
        "000003",
        "zarr.json",
    ]


def test_a_write_that_stops_half_way_is_never_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MapStore(tmp_path)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(maps_module, "_swap_in", stop)
    with pytest.raises(KeyboardInterrupt):
        store.write("labels", [0], _stack(0, (1, 5, 8), "int32"))
    assert store.frames("labels") == []
    with pytest.raises(ResultsError, match="--keep labels"):
        store.read("labels", 0)


def test_several_writers_at_once(tmp_path: Path) -> None:
    stack = _stack(2, (12, 21, 34), "int32")

    def write(k: int) -> None:
        MapStore(tmp_path).write("labels", [k], stack[k : k + 1])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(12)))
    store = MapStore(tmp_path)
    assert store.frames("labels") == list(range(12))
    for k in range(12):
        np.testing.assert_array_equal(store.read("labels", k), stack[k])


def test_other_zarr_readers_find_groups_axes_and_scale(tmp_path: Path) -> None:
    MapStore(tmp_path).write(
        "labels", [0, 1], _stack(0, (2, 6, 10), "int32"), np.array([[0.2, 0.25], [np.nan] * 2])
    )
    root = zarr.open_group(str(tmp_path / "maps.zarr"), mode="r")
    array = root["labels/000000"]
    assert array.metadata.dimension_names == ("y", "x")
    assert array.attrs["scale"] == [0.2, 0.25]
    assert {a["unit"] for a in array.attrs["axes"]} == {"nanometer"}
    assert "unit" not in root["labels/000001"].attrs["axes"][0]
    assert json.loads((tmp_path / "maps.zarr" / "zarr.json").read_text())["zarr_format"] == 3


def test_names_and_counts_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="plain word"):
        MapStore(tmp_path).write("../out", [0], np.zeros((1, 8, 8)))
    with pytest.raises(ResultsError, match="2 frames, but 1"):
        MapStore(tmp_path).write("labels", [0, 1], np.zeros((1, 8, 8)))
    assert not (tmp_path / "maps.zarr").exists()
