"""Every public micrograph opens with the right shape and pixel size, or says why not."""

import csv

import numpy as np
import pytest
from rsciio.tia import file_reader as read_tia

from stempede.io.sources import open_frames

SETS = [
    "vendor-natives",
    "atomic-perovskite",
    "haadf-nanoparticles-particlespy",
    "haadf-atoms-labelled",
    "bf-nanocrystals-masks",
    "bf-au-tetrahedra-prisms-masks",
    "bf-patchy-prisms-series",
    "bf-nanocrystals-sophon",
    "bf-au-insitu-video",
    "bf-au-spheres-rods-2k",
]
# shapes as RosettaSciIO's and openNCEM's own documentation and tests give them
SHAPES = {
    "example_Au_nanoparticle.emd": (2048, 2048),
    "Camera Ceta Imaging Micro.emd": (512, 512),
    "After HAADF 130mm_1.ser": (1024, 1024),
    "multi_signal.dm3": (512, 512),
    "test_STEM_image.dm3": (68, 68),
    "HAADFscan.mrc": (16, 16),
    "128x128-TEM_search_1.ser": (128, 128),
    "test_loading_image_saved_with_imageJ.tif": (68, 68),
    "test_dm_image_um_unit.dm3": (68, 68),
    "BTO_crystal_1.dm4": (413, 469),
    "16_STOimage_1.ser": (1024, 1024),
    "stem_abf_data.hspy": (512, 512),
    "Cropped_PTO-SRO_Aligned.hspy": (224, 1312),
    "SiO2 HAADF Image.hspy": (128, 128),
}
# formats that carry no pixel size: the manifest's was measured on a burned-in bar
UNCALIBRATED = (".png", ".jpg")


@pytest.fixture(scope="module")
def manifest(public_data):
    with (public_data / "micrographs" / "MANIFEST.csv").open(encoding="utf-8") as file:
        return {row["file"]: row["nm_per_px"] for row in csv.DictReader(file)}


@pytest.mark.parametrize("name", SETS)
def test_a_set_opens(public_data, manifest, name):
    root = public_data / "micrographs"
    frames = open_frames(root / name)
    assert not any(r.problem for r in frames.records)
    for record in frames.records:
        relative = record.source.removeprefix(root.as_posix() + "/")
        file = relative.rsplit("/")[-1]
        assert record.shape == SHAPES.get(file, record.shape)
        _check_pixel_size(record, manifest[relative], frames.notes)
    for record in frames.records[:8]:
        pixels = frames.reader(record)
        assert (pixels.shape, pixels.dtype) == (record.shape, np.dtype(record.dtype))


def _check_pixel_size(record, listed, notes):
    found = record.calibration.pixel_size_nm
    if (
        record.source.endswith(UNCALIBRATED)
        or not listed
        or not listed[0].isdigit()
        or "?" in listed
    ):
        assert found is None
    elif record.source.endswith("stem_abf_data.hspy"):
        # its axes have a scale and no unit
        assert found is None
        assert any("no unit" in note for note in notes)
    else:
        assert found == pytest.approx(float(listed), rel=1e-4)
        assert record.calibration.source == "file"


@pytest.mark.parametrize(
    ("file", "nm"),
    [
        ("atomic-perovskite/16_STOimage.emi", 0.010013),
        ("vendor-natives/128x128-TEM_search.emi", 5.2612),
    ],
)
def test_emi_files_named_alone_open_their_ser(public_data, file, nm):
    frames = open_frames(public_data / "micrographs" / file)
    (record,) = frames.records
    assert record.calibration.pixel_size_nm == pytest.approx(nm, rel=1e-3)
    assert record.instrument["kV"] in (80, 200, 300)
    assert frames.reader(record).shape == record.shape


@pytest.mark.parametrize("name", ["After HAADF 130mm_1.ser", "128x128-TEM_search_1.ser"])
def test_our_ser_reader_agrees_with_rosettasciio(public_data, name):
    path = public_data / "micrographs" / "vendor-natives" / name
    (theirs,) = read_tia(str(path))
    frames = open_frames(path)
    np.testing.assert_array_equal(frames.reader(frames.records[0]), theirs["data"])


def test_velox_facts(public_data):
    (record,) = open_frames(
        public_data / "micrographs" / "vendor-natives" / "example_Au_nanoparticle.emd"
    ).records
    assert record.instrument == {
        "instrument": "Titan",
        "kV": 300,
        "magnification": 5.1e6,
        "detector": "HAADF",
        "dwell_us": pytest.approx(2.5),
        "acquired_at": "2019-08-13T15:32:02+00:00",
    }
