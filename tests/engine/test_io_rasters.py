"""TIFF, PNG, JPEG, BMP and npy: shapes, calibration, and pixels as they were written."""

import pickle

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stempede.errors import InputError
from stempede.io.image import luminance
from stempede.io.sources import open_frames


def ramp(height=11, width=17, dtype=np.uint16, n=None):
    shape = (height, width) if n is None else (n, height, width)
    return (np.arange(np.prod(shape)) % 251).reshape(shape).astype(dtype)


def only(path, **options):
    frames = open_frames(path, **options)
    assert len(frames) == 1
    return frames, frames.records[0]


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]
)
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tiff_keeps_dtype_and_pixels(tmp_path, dtype, compression, byteorder):
    path = tmp_path / "a b µ.tif"
    image = ramp(dtype=dtype)
    tifffile.imwrite(path, image, compression=compression, byteorder=byteorder)
    frames, record = only(path)
    assert record.shape == (11, 17)
    assert record.dtype == dtype
    assert record.source == path.as_posix()
    read = frames.reader(record)
    assert read.dtype == dtype
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, image)


@pytest.mark.parametrize(
    "options", [{}, {"imagej": True}, {"compression": "zlib"}, {"tile": (16, 16)}]
)
def test_tiff_stacks_become_pages(tmp_path, options):
    stack = ramp(n=5)
    tifffile.imwrite(tmp_path / "stack.tif", stack, **options)
    frames = open_frames(tmp_path / "stack.tif")
    assert [r.page for r in frames.records] == [0, 1, 2, 3, 4]
    for record in frames.records[::-1]:
        np.testing.assert_array_equal(frames.reader(record), stack[record.page])


def test_tiff_of_separate_pages_of_different_shapes(tmp_path):
    images = [ramp(9, 13), ramp(21, 10, np.uint8)]
    with tifffile.TiffWriter(tmp_path / "two.tif") as tif:
        for image in images:
            tif.write(image)
    frames = open_frames(tmp_path / "two.tif")
    assert [r.shape for r in frames.records] == [(9, 13), (21, 10)]
    for record, image in zip(frames.records, images):
        np.testing.assert_array_equal(frames.reader(record), image)


@pytest.mark.parametrize(
    ("unit", "nm"), [("nm", 1), ("micron", 1e3), ("\\u00B5m", 1e3), ("pm", 1e-3)]
)
def test_imagej_calibration(tmp_path, unit, nm):
    tifffile.imwrite(
        tmp_path / "j.tif",
        ramp(),
        imagej=True,
        resolution=(4.0, 2.0),
        metadata={"unit": unit},
    )
    _, record = only(tmp_path / "j.tif")
    assert record.calibration.source == "file"
    assert record.calibration.pixel_size_x_nm == pytest.approx(nm / 4)
    assert record.calibration.pixel_size_y_nm == pytest.approx(nm / 2)


def test_printing_resolution_is_no_pixel_size(tmp_path):
    tifffile.imwrite(tmp_path / "dpi.tif", ramp(), resolution=(300, 300), resolutionunit="INCH")
    tifffile.imwrite(
        tmp_path / "inch.tif", ramp(), imagej=True, resolution=(72, 72), metadata={"unit": "inch"}
    )
    for record in open_frames(tmp_path).records:
        assert record.calibration.source == ""


def test_digital_micrograph_tags_give_x_before_y(tmp_path):
    tags = [
        (65003, "s", 0, "nm", True),
        (65004, "s", 0, "nm", True),
        (65009, "d", 1, 0.2, True),
        (65010, "d", 1, 0.3, True),
    ]
    tifffile.imwrite(tmp_path / "dm.tif", ramp(), extratags=tags, metadata=None)
    _, record = only(tmp_path / "dm.tif")
    assert record.calibration.pixel_size_x_nm == pytest.approx(0.2)
    assert record.calibration.pixel_size_y_nm == pytest.approx(0.3)


FEI = "[Beam]\nHV=200000\n[Scan]\nPixelWidth=2e-9\nPixelHeight=3e-9\nDwelltime=1e-6\n" + (
    "[Image]\nResolutionX=17\nResolutionY=9\n[System]\nSystemType=Helios\n"
)


def test_fei_tags_give_scale_instrument_and_caption_band(tmp_path):
    tifffile.imwrite(
        tmp_path / "fei.tif",
        ramp(dtype=np.uint8),
        extratags=[(34682, "s", 0, FEI, True)],
        metadata=None,
    )
    _, record = only(tmp_path / "fei.tif")
    assert record.calibration.pixel_size_x_nm == pytest.approx(2)
    assert record.calibration.pixel_size_y_nm == pytest.approx(3)
    assert record.exclude == ((9, 0, 11, 17),)
    assert record.instrument["kV"] == 200
    assert record.instrument["dwell_us"] == pytest.approx(1)
    assert record.instrument["instrument"] == "Helios"


def test_ome_tiff_scale_and_channels(tmp_path):
    stack = ramp(n=2)
    tifffile.imwrite(
        tmp_path / "x.ome.tif",
        stack,
        metadata={
            "axes": "CYX",
            "PhysicalSizeX": 0.5,
            "PhysicalSizeXUnit": "nm",
            "PhysicalSizeY": 0.25,
            "PhysicalSizeYUnit": "nm",
            "Channel": {"Name": ["HAADF", "BF"]},
        },
    )
    frames, record = only(tmp_path / "x.ome.tif")
    assert record.calibration.pixel_size_y_nm == pytest.approx(0.25)
    assert record.calibration.pixel_size_x_nm == pytest.approx(0.5)
    assert any("'HAADF', 'BF'" in note for note in frames.notes)
    np.testing.assert_array_equal(frames.reader(record), stack[0])
    other, record = only(tmp_path / "x.ome.tif", signal="bf")
    np.testing.assert_array_equal(other.reader(record), stack[1])
    assert "HAADF" in only(tmp_path / "x.ome.tif", signal="EDS")[1].problem


def test_four_dimensional_tiff_is_a_problem_that_says_so(tmp_path):
    tifffile.imwrite(
        tmp_path / "4d.tif", np.zeros((3, 2, 8, 9), np.uint8), metadata={"axes": "TZYX"}
    )
    assert "4-D" in only(tmp_path / "4d.tif")[1].problem


@pytest.mark.parametrize("alpha", [False, True])
def test_colour_becomes_luminance_and_alpha_is_dropped(tmp_path, alpha):
    grey = ramp(dtype=np.uint8)
    rgb = np.repeat(grey[..., None], 4 if alpha else 3, axis=-1)
    if alpha:
        rgb[..., 3] = 7
    Image.fromarray(rgb).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "b.tif", rgb, photometric="rgb")
    tifffile.imwrite(
        tmp_path / "c.tif",
        np.moveaxis(rgb, -1, 0).copy(),
        photometric="rgb",
        planarconfig="separate",
    )
    frames = open_frames(tmp_path)
    assert [n for n in frames.notes if "luminance" in n] == [
        "colour images were read as luminance (3 files)"
    ]
    for record in frames.records:
        assert record.dtype == "uint8"
        np.testing.assert_array_equal(frames.reader(record), grey)


@given(st.sampled_from(["uint8", "uint16"]), st.integers(0, 2**32))
@settings(max_examples=30)
def test_luminance_is_that_of_pillow_and_within_its_channels(dtype, seed):
    top = np.iinfo(dtype).max
    rgb = np.random.default_rng(seed).integers(0, top, (5, 7, 3), dtype, endpoint=True)
    grey = luminance(rgb)
    assert grey.dtype == dtype
    assert (grey >= rgb.min(-1)).all()
    assert (grey <= rgb.max(-1)).all()
    if dtype == "uint8":
        np.testing.assert_array_equal(grey, np.array(Image.fromarray(rgb).convert("L")))


def test_bits_palettes_and_white_is_zero(tmp_path):
    bits = ramp() % 2 == 1
    Image.fromarray(bits).save(tmp_path / "bits.png")
    tifffile.imwrite(tmp_path / "bits.tif", bits, photometric="minisblack")
    tifffile.imwrite(tmp_path / "inverted.tif", ramp(dtype=np.uint8), photometric="miniswhite")
    colours = np.zeros((3, 256), np.uint16)
    colours[1] = np.arange(256) * 257
    tifffile.imwrite(
        tmp_path / "palette.tif", ramp(dtype=np.uint8), photometric="palette", colormap=colours
    )
    picture = Image.fromarray(ramp(dtype=np.uint8)).convert("P")
    picture.putpalette([v for k in range(256) for v in (k, k, k)])
    picture.save(tmp_path / "palette.png")
    frames = open_frames(tmp_path)
    read = {r.source.rsplit("/")[-1]: frames.reader(r) for r in frames.records}
    for name in ("bits.png", "bits.tif"):
        np.testing.assert_array_equal(read[name], bits * np.uint8(255))
    np.testing.assert_array_equal(read["inverted.tif"], 255 - ramp(dtype=np.uint8))
    np.testing.assert_array_equal(read["palette.png"], ramp(dtype=np.uint8))
    green = ramp().astype(float) * 0.587
    np.testing.assert_allclose(read["palette.tif"], green, atol=0.6)


def test_pictures_of_all_depths(tmp_path):
    Image.fromarray(ramp(dtype=np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(ramp(dtype=np.uint8)).save(tmp_path / "flat.bmp")
    Image.fromarray(np.full((16, 24), 90, np.uint8)).save(tmp_path / "lossy.jpg")
    frames = open_frames(tmp_path)
    assert [(r.dtype, r.shape) for r in frames.records] == [
        ("uint16", (11, 17)),
        ("uint8", (11, 17)),
        ("uint8", (16, 24)),
    ]
    np.testing.assert_array_equal(frames.reader(frames.records[0]), ramp())
    np.testing.assert_array_equal(frames.reader(frames.records[1]), ramp(dtype=np.uint8))


def test_npy_arrays_and_their_pages(tmp_path):
    np.save(tmp_path / "one.npy", ramp(dtype=">f8"))
    np.save(tmp_path / "stack.npy", np.asfortranarray(ramp(n=3)))
    np.save(tmp_path / "bool.npy", ramp() % 2 == 0)
    frames = open_frames(tmp_path)
    assert [r.dtype for r in frames.records] == ["uint8", "float64"] + ["uint16"] * 3
    np.testing.assert_array_equal(frames.reader(frames.records[1]), ramp())
    np.testing.assert_array_equal(frames.reader(frames.records[3]), ramp(n=3)[1])


def test_objects_are_never_unpickled(tmp_path):
    np.save(tmp_path / "pickled.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    np.save(tmp_path / "deep.npy", np.zeros((2, 2, 8, 8)))
    np.save(tmp_path / "complex.npy", np.zeros((8, 8), complex))
    (tmp_path / "evil.npy").write_bytes(pickle.dumps({"a": 1}))
    problems = [r.problem for r in open_frames(tmp_path).records]
    assert "complex" in problems[0]
    assert "4-D" in problems[1]
    assert all(problems)


def test_the_reader_and_its_records_are_picklable(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", ramp())
    frames = open_frames(tmp_path)
    frames.reader(frames.records[0])
    again = pickle.loads(pickle.dumps(frames))
    np.testing.assert_array_equal(again.reader(again.records[0]), ramp())


def test_a_file_rewritten_after_opening_is_read_anew(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, ramp())
    frames, record = only(path)
    frames.reader(record)
    tifffile.imwrite(path, ramp()[:, ::-1].copy(), compression="zlib")
    np.testing.assert_array_equal(frames.reader(record), ramp()[:, ::-1])
    path.unlink()
    with pytest.raises((InputError, FileNotFoundError)):
        frames.reader(record)
