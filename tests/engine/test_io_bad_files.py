"""Bad input: one clear sentence and a problem record, and never a large allocation or a crash."""

import os
import resource
import struct
import zlib

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from stempede.errors import InputError, StempedeError
from stempede.io.sources import open_frames
from vendor_files import write_dm3, write_mrc, write_ser

IMAGE = np.arange(40 * 52, dtype=np.uint16).reshape(40, 52)


def problem(path):
    frames = open_frames(path)
    (record,) = frames.records
    assert record.problem
    with pytest.raises(InputError):
        frames.load(record)
    return record.problem


def test_an_empty_folder_says_what_can_be_read(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(InputError, match=r"found none in .*\.dm4"):
        open_frames(tmp_path)


@pytest.mark.parametrize("source", ["nothing/here", "nothing/*.tif"])
def test_a_path_that_is_not_there(tmp_path, source):
    with pytest.raises(InputError, match="wanted, found"):
        open_frames(tmp_path / source)


def test_no_source_and_an_unknown_kind(tmp_path):
    with pytest.raises(InputError, match="empty list"):
        open_frames([])
    (tmp_path / "a.docx").write_text("x")
    with pytest.raises(InputError, match="unknown kind"):
        open_frames(tmp_path / "a.docx")


@pytest.mark.parametrize(
    "suffix", ["tif", "png", "npy", "dm4", "dm3", "emd", "ser", "mrc", "hspy", "bmp"]
)
@pytest.mark.parametrize("content", [b"", b"this is a text file\n" * 30])
def test_a_text_file_with_an_images_name_is_one_problem(tmp_path, suffix, content):
    (tmp_path / f"text.{suffix}").write_bytes(content)
    said = problem(tmp_path)
    assert "\n" not in said
    assert len(said) < 500


@pytest.mark.parametrize("share", [0.1, 0.6, 0.95])
@pytest.mark.parametrize("kind", ["tif", "zlib.tif", "dm3", "ser", "mrc", "npy", "png"])
def test_truncated_files_are_problems_now_or_when_loaded(tmp_path, kind, share):
    path = tmp_path / f"cut.{kind}"
    noisy = np.random.default_rng(0).integers(0, 65535, (40, 52), np.uint16)
    if kind == "dm3":
        write_dm3(path, {"HAADF": noisy}, (1, 1), "nm")
    elif kind == "ser":
        write_ser(path, noisy[None], (1e-9, 1e-9), 5)
    elif kind == "mrc":
        write_mrc(path, noisy[None], 1)
    elif kind == "npy":
        np.save(path, noisy)
    elif kind == "png":
        Image.fromarray(noisy).save(path)
    else:
        tifffile.imwrite(path, noisy, compression="zlib" if kind == "zlib.tif" else None)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    frames = open_frames(path)
    with pytest.raises(StempedeError):
        frames.load(frames.records[0])


def test_pages_before_the_cut_of_a_stack_are_kept(tmp_path):
    path = tmp_path / "stack.tif"
    stack = np.random.default_rng(1).integers(0, 9, (4, 40, 52), np.uint8)
    tifffile.imwrite(path, stack, photometric="minisblack")
    path.write_bytes(path.read_bytes()[: -2 * 40 * 52 - 7])
    frames = open_frames(path)
    assert [bool(r.problem) for r in frames.records] == [False, True, True, True] or [
        bool(r.problem) for r in frames.records
    ] == [False, False, True, True]
    assert "truncated" in frames.records[-1].problem
    np.testing.assert_array_equal(frames.reader(frames.records[0]), stack[0])


def test_a_truncated_or_swollen_zarr_chunk_is_an_input_error(tmp_path):
    for codec, name in (("auto", "zstd"), (zarr.codecs.GzipCodec(), "gzip"), (None, "none")):
        path = tmp_path / f"{name}.zarr"
        zarr.create_array(path, data=IMAGE, chunks=IMAGE.shape, compressors=codec)
        chunk = path / "c" / "0" / "0"
        chunk.write_bytes(chunk.read_bytes()[:-20])
        frames = open_frames(path)
        assert frames.records[0].shape == IMAGE.shape
        with pytest.raises(InputError):
            frames.load(frames.records[0])


@pytest.mark.parametrize("kind", ["gzip", "zstd", "blosc"])
def test_a_chunk_that_unpacks_to_more_than_declared_is_refused(tmp_path, kind):
    codec = {
        "gzip": zarr.codecs.GzipCodec(),
        "zstd": zarr.codecs.ZstdCodec(),
        "blosc": zarr.codecs.BloscCodec(),
    }[kind]
    zarr.create_array(tmp_path / "x.zarr", data=IMAGE, chunks=(40, 52), compressors=codec)
    big = np.ones((4000, 500), np.uint16)
    zarr.create_array(tmp_path / "big.zarr", data=big, chunks=big.shape, compressors=codec)
    bomb = (tmp_path / "big.zarr" / "c" / "0" / "0").read_bytes()
    (tmp_path / "x.zarr" / "c" / "0" / "0").write_bytes(bomb)
    frames = open_frames(tmp_path / "x.zarr")
    with pytest.raises(InputError, match="unpacks to"):
        frames.load(frames.records[0])


def huge_png(side):
    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


def test_huge_sides_are_refused_without_taking_memory(tmp_path, monkeypatch):
    side = 60_000
    (tmp_path / "a.png").write_bytes(huge_png(side))
    write_mrc(tmp_path / "b.mrc", IMAGE[None], 1)
    content = bytearray((tmp_path / "b.mrc").read_bytes())
    struct.pack_into("<3l", content, 0, side, side, 1)
    (tmp_path / "b.mrc").write_bytes(content)
    tifffile.memmap(tmp_path / "c.tif", shape=(side, side), dtype=np.uint16)
    zarr.create_array(tmp_path / "d.zarr", shape=(side, side), chunks=(side, side), dtype="u2")
    monkeypatch.setattr("stempede.io.image.host_free_bytes", lambda: 8 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    frames = open_frames(tmp_path)
    assert len(frames) == 4
    for record in frames.records:
        with pytest.raises(InputError):
            frames.load(record)
    assert "TIFF" in frames.records[0].problem
    assert "truncated" in frames.records[1].problem
    with pytest.raises(InputError, match=r"60000 x 60000 px and needs 20\.1 GiB"):
        frames.load(frames.records[2])
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mib < 200


def test_one_pixel_opens_and_is_told_apart_when_loaded(tmp_path):
    tifffile.imwrite(tmp_path / "one.tif", np.ones((1, 1), np.uint8))
    frames = open_frames(tmp_path)
    assert frames.records[0].shape == (1, 1)
    with pytest.raises(InputError, match="1 x 1"):
        frames.load(frames.records[0])


def test_one_bad_file_leaves_the_others(tmp_path):
    tifffile.imwrite(tmp_path / "a1.tif", IMAGE)
    (tmp_path / "a2.tif").write_text("text")
    tifffile.imwrite(tmp_path / "a10.tif", IMAGE)
    frames = open_frames(tmp_path)
    assert [r.source.rsplit("/")[-1] for r in frames.records] == ["a1.tif", "a2.tif", "a10.tif"]
    assert [bool(r.problem) for r in frames.records] == [False, True, False]
    assert frames.records[1].shape == (0, 0)
    assert [r.frame for r in frames.records] == [0, 1, 2]


def test_links_that_lead_nowhere_or_in_circles(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE)
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "broken.tif").symlink_to(tmp_path / "gone.tif")
    frames = open_frames(tmp_path)
    assert len(frames) == 2
    assert "broken link" in frames.records[1].problem


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE)
    (tmp_path / "a.tif").chmod(0)
    assert "permission" in problem(tmp_path)


@given(
    st.binary(max_size=300),
    st.sampled_from(["dm3", "dm4", "ser", "mrc", "tif", "npy", "emd", "bmp"]),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_garbage_never_raises_at_open(tmp_path, content, suffix):
    heads = {
        "dm3": struct.pack(">lll", 3, 9, 1),
        "ser": struct.pack("<HHH", 0x4949, 0x0197, 0x0210),
        "tif": b"II*\0",
        "npy": b"\x93NUMPY\x01\x00",
        "emd": b"\x89HDF\r\n\x1a\n",
    }
    path = tmp_path / f"garbage.{suffix}"
    path.write_bytes(heads.get(suffix, b"") + content)
    for record in open_frames(path).records:
        assert record.problem or record.shape
