"""Which files a source means, in which order, and frames from URLs."""

import fsspec
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st

from stempede.errors import InputError
from stempede.io.listing import natural_key
from stempede.io.sources import open_frames

IMAGE = np.arange(12 * 15, dtype=np.uint16).reshape(12, 15)


def write(path, image=IMAGE):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, image)


def names(frames, root):
    return [r.source.removeprefix(root.as_posix() + "/") for r in frames.records]


def test_folders_are_read_recursively_in_natural_order(tmp_path):
    for name in ("b/img 10.tif", "b/img 2.tif", "a10/x.TIF", "a9/x.tif", "ü/é 1.tiff"):
        write(tmp_path / name)
    for name in (".hidden.tif", ".cache/x.tif", "b/._img.tif", "readme.txt"):
        write(tmp_path / name)
    frames = open_frames(str(tmp_path))
    expected = ["a9/x.tif", "a10/x.TIF", "b/img 2.tif", "b/img 10.tif", "ü/é 1.tiff"]
    assert names(frames, tmp_path) == expected
    assert [r.frame for r in frames.records] == list(range(5))
    assert frames.origin == tmp_path.as_posix()


def test_globs_files_and_sequences(tmp_path):
    for name in ("s1/a1.tif", "s1/a2.tif", "s2/a1.tif", "s2/b1.tif"):
        write(tmp_path / name)
    assert names(open_frames(tmp_path / "s*" / "a*.tif"), tmp_path) == [
        "s1/a1.tif",
        "s1/a2.tif",
        "s2/a1.tif",
    ]
    assert len(open_frames(str(tmp_path / "**" / "*1.tif"))) == 3
    # a file that two items mean is one frame
    several = open_frames([tmp_path / "s2", tmp_path / "s1" / "a2.tif", tmp_path / "s2" / "a1.tif"])
    assert names(several, tmp_path) == ["s2/a1.tif", "s2/b1.tif", "s1/a2.tif"]


def test_a_relative_path_gives_absolute_sources(tmp_path, monkeypatch):
    write(tmp_path / "in" / "a.tif")
    monkeypatch.chdir(tmp_path)
    assert open_frames("in").records[0].source == (tmp_path / "in" / "a.tif").as_posix()


def test_run_folders_are_passed_over(tmp_path):
    write(tmp_path / "a.tif")
    write(tmp_path / "run" / "figures" / "overlay.tif")
    (tmp_path / "run" / "run.json").write_text("{}")
    frames = open_frames(tmp_path)
    assert len(frames) == 1
    assert "run folders were passed over" in frames.notes


def test_frames_keep_their_numbers_when_some_are_chosen(tmp_path):
    for k in range(5):
        write(tmp_path / f"{k}.tif")
    chosen = open_frames(tmp_path, frames=slice(1, 4, 2))
    assert [r.frame for r in chosen.records] == [1, 3]
    with pytest.raises(InputError, match="5 frames"):
        open_frames(tmp_path, frames=slice(7, 9))


def test_excluded_rectangles_count_from_either_side_and_are_clipped(tmp_path):
    write(tmp_path / "a.tif")
    boxes = [(0, 0, 2, 3), (-4, 0, 999, 999), (5, -2, -3, 99), (9, 9, 9, 12)]
    (record,) = open_frames(tmp_path, exclude=boxes).records
    assert record.exclude == ((0, 0, 2, 3), (8, 0, 12, 15), (5, 13, 9, 15))


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=6, unique=True))
def test_natural_order_is_the_order_of_numbers(numbers):
    texts = [f"img_{n}_x" for n in numbers]
    assert sorted(texts, key=natural_key) == [f"img_{n}_x" for n in sorted(numbers)]


@pytest.fixture
def memory():
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    yield filesystem
    filesystem.store.clear()


def test_frames_from_a_url(tmp_path, memory):
    for name in ("a2.tif", "a10.tif", "b.npy", ".hidden.tif", "notes.txt"):
        path = tmp_path / name
        if name.endswith("npy"):
            np.save(path, IMAGE)
        else:
            write(path)
        memory.put_file(str(path), f"/session/{name}")
    frames = open_frames("memory://session")
    assert [r.source for r in frames.records] == [
        "memory://session/a2.tif",
        "memory://session/a10.tif",
        "memory://session/b.npy",
    ]
    for record in frames.records:
        np.testing.assert_array_equal(frames.reader(record), IMAGE)
    assert len(open_frames("memory://session/a*.tif")) == 2
    assert len(open_frames("memory://session/b.npy")) == 1
    with pytest.raises(InputError, match="found nothing at"):
        open_frames("memory://elsewhere")


def test_zarr_from_a_url(tmp_path, memory):
    zarr.create_array(tmp_path / "x.zarr", data=np.stack([IMAGE, IMAGE + 1]), chunks=(1, 12, 15))
    memory.put(str(tmp_path / "x.zarr"), "/deep/x.zarr", recursive=True)
    for source in ("memory://deep/x.zarr", "memory://deep"):
        frames = open_frames(source)
        assert [r.problem for r in frames.records] == ["", ""]
        np.testing.assert_array_equal(frames.reader(frames.records[1]), IMAGE + 1)


def test_file_urls_are_plain_paths(tmp_path):
    write(tmp_path / "a.tif")
    (record,) = open_frames(f"file://{tmp_path}/a.tif").records
    assert record.source == (tmp_path / "a.tif").as_posix()


def test_a_missing_filesystem_package_is_named():
    with pytest.raises(InputError, match=r"filesystem package.*pip"):
        open_frames("nosuchprotocol://bucket/x.tif")
