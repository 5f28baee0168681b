"""Plain zarr arrays and OME-Zarr images, of both versions."""

import numpy as np
import pytest
import zarr

from stempede.io.sources import open_frames

STACK = np.random.default_rng(5).integers(0, 999, (3, 14, 19), np.uint16)


def ome(path, data, axes, scale, units, *, version, omero=None, levels=2):
    """Write an OME-Zarr image; coarser levels are zeros, so that reading one would show."""
    root = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    multiscale = {
        "version": version,
        "name": "image",
        "axes": [{"name": a, **({"unit": units} if a in "yx" and units else {})} for a in axes],
        "datasets": [
            {
                "path": str(k),
                "coordinateTransformations": [
                    {
                        "type": "scale",
                        "scale": [s * 2**k if a in "yx" else s for a, s in zip(axes, scale)],
                    }
                ],
            }
            for k in range(levels)
        ],
    }
    content = {"multiscales": [multiscale], **({"omero": omero} if omero else {})}
    root.attrs.update(content if version == "0.4" else {"ome": {"version": version, **content}})
    root.create_array("0", data=data)
    for k in range(1, levels):
        root.create_array(str(k), data=np.zeros_like(data[..., :: 2**k, :: 2**k]))


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("shape", [(14, 19), (3, 14, 19)])
@pytest.mark.parametrize("chunks", [(5, 7), (14, 19)])
def test_plain_arrays(tmp_path, zarr_format, shape, chunks):
    data = STACK[0] if len(shape) == 2 else STACK
    path = tmp_path / "plain"
    whole = chunks if len(shape) == 2 else (2, *chunks)
    zarr.create_array(path, data=data, chunks=whole, zarr_format=zarr_format)
    frames = open_frames(path)
    assert [r.shape for r in frames.records] == [(14, 19)] * (1 if len(shape) == 2 else 3)
    for record in frames.records:
        np.testing.assert_array_equal(
            frames.reader(record), data if data.ndim == 2 else data[record.page]
        )


def test_big_endian_and_float_arrays(tmp_path):
    zarr.create_array(tmp_path / "x.zarr", data=STACK.astype(">i4"), zarr_format=2)
    frames = open_frames(tmp_path / "x.zarr")
    assert frames.records[0].dtype == "int32"
    assert frames.reader(frames.records[2]).dtype.isnative
    np.testing.assert_array_equal(frames.reader(frames.records[2]), STACK[2])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_reads_its_finest_level_with_its_scale(tmp_path, version):
    ome(tmp_path / "x.zarr", STACK, "tyx", (1, 0.2, 0.3), "micrometer", version=version)
    frames = open_frames(tmp_path / "x.zarr")
    assert len(frames) == 3
    scale = frames.records[0].calibration
    assert scale.source == "file"
    assert scale.pixel_size_y_nm == pytest.approx(200)
    assert scale.pixel_size_x_nm == pytest.approx(300)
    np.testing.assert_array_equal(frames.reader(frames.records[1]), STACK[1])


def test_ome_zarr_without_a_unit_is_not_calibrated(tmp_path):
    ome(tmp_path / "x.zarr", STACK, "zyx", (1, 0.2, 0.3), None, version="0.5")
    frames = open_frames(tmp_path / "x.zarr")
    assert frames.records[0].calibration.source == ""
    assert any("no unit" in note for note in frames.notes)


def test_ome_zarr_channels_are_signals(tmp_path):
    omero = {"channels": [{"label": "HAADF"}, {"label": "BF"}]}
    data = np.stack([STACK, STACK + 1], axis=1)
    ome(tmp_path / "x.zarr", data, "tcyx", (1, 1, 2, 2), "nanometer", version="0.4", omero=omero)
    frames = open_frames(tmp_path / "x.zarr", signal="BF")
    assert len(frames) == 3
    np.testing.assert_array_equal(frames.reader(frames.records[2]), STACK[2] + 1)
    assert any("'HAADF', 'BF'" in n for n in open_frames(tmp_path / "x.zarr").notes)
    (record,) = open_frames(tmp_path / "x.zarr", signal="EELS").records
    assert "'HAADF', 'BF'" in record.problem


def test_deep_data_are_problems_that_say_so(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=np.zeros((2, 3, 8, 9)))
    ome(tmp_path / "b.zarr", np.zeros((2, 3, 8, 9)), "tzyx", (1,) * 4, "nm", version="0.5")
    zarr.open_group(tmp_path / "c.zarr", mode="w")
    ome(tmp_path / "d.zarr", STACK, "yxt", (1,) * 3, "nm", version="0.5")
    (tmp_path / "e.zarr").mkdir()
    (tmp_path / "f.zarr").mkdir()
    (tmp_path / "f.zarr" / "zarr.json").write_text("{broken")
    frames = open_frames(tmp_path)
    assert len(frames) == 6
    for record in frames.records:
        assert "wanted, found" in record.problem
        assert record.shape == (0, 0)


def test_an_array_inside_a_group_is_found_and_several_are_offered(tmp_path):
    root = zarr.open_group(tmp_path / "x.zarr", mode="w")
    root.create_array("deep/adf", data=STACK)
    root.create_array("table", data=np.zeros(4))
    np.testing.assert_array_equal(
        open_frames(tmp_path / "x.zarr").reader(open_frames(tmp_path / "x.zarr").records[1]),
        STACK[1],
    )
    root.create_array("deep/bf", data=STACK[0])
    frames = open_frames(tmp_path / "x.zarr", signal="deep/bf")
    assert len(frames) == 1
    assert frames.reader.facts(frames.records[0]) == {"attributes": {}, "array": {}}


def test_folders_of_zarr_arrays_are_leaves(tmp_path):
    for k in (10, 9):
        zarr.create_array(tmp_path / "in" / f"{k}.zarr", data=STACK[0], chunks=(14, 19))
    frames = open_frames(tmp_path / "in")
    assert [r.source.rsplit("/")[-1] for r in frames.records] == ["9.zarr", "10.zarr"]
