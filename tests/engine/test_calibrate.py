"""Pixel sizes measured on a lattice or a bar: recovered with their uncertainty, then applied."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from stempede.errors import InputError
from stempede.io.sources import open_frames
from stempede.preprocess.calibrate import calibrate
from stempede.preprocess.spots import find_lattice
from stempede.reference import calibrate as calibrate_file

SPACING_NM = 0.3905


def crystal(
    *,
    size_y_nm: float = 0.0202,
    size_x_nm: float = 0.0200,
    turn_deg: float = 9.0,
    gamma_deg: float = 90.0,
    shape: tuple[int, int] = (301, 423),
    noise: float = 1.0,
    seed: int = 0,
) -> np.ndarray:
    """Return noisy lattice fringes of several orders, whose first vectors have one length."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    y_nm, x_nm = y * size_y_nm, x * size_x_nm
    turn = np.radians([turn_deg, turn_deg + gamma_deg])
    cells = np.stack([np.sin(turn), np.cos(turn)], axis=1)
    reciprocal = np.linalg.inv(cells).T
    reciprocal /= np.hypot(*reciprocal[0]) * SPACING_NM
    image = np.zeros(shape)
    for h, k in [(1, 0), (0, 1), (1, 1), (1, -1), (2, 0), (0, 2), (2, 1), (-1, 2)]:
        g = h * reciprocal[0] + k * reciprocal[1]
        image += np.exp(-0.2 * (h * h + k * k)) * np.cos(2 * np.pi * (g[0] * y_nm + g[1] * x_nm))
    return image + noise * np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("turn_deg", [0.0, 9.0, 45.0, -31.0])
@pytest.mark.parametrize("gamma_deg", [90.0, 60.0])
def test_unequal_pixels_are_told_apart(turn_deg: float, gamma_deg: float) -> None:
    """Pixels differ by 1 %; each is recovered ten times better than that."""
    found = calibrate(crystal(turn_deg=turn_deg, gamma_deg=gamma_deg), lattice_nm=SPACING_NM)
    assert found.pixel_size_y_nm == pytest.approx(0.0202, rel=1e-3)
    assert found.pixel_size_x_nm == pytest.approx(0.0200, rel=1e-3)
    assert 1e-5 < found.rel_u < 2e-3


def test_transposing_swaps_the_axes() -> None:
    image = crystal()
    here, there = (calibrate(im, lattice_nm=SPACING_NM) for im in (image, image.T))
    assert there.pixel_size_y_nm == pytest.approx(here.pixel_size_x_nm, rel=2e-4)
    assert there.pixel_size_x_nm == pytest.approx(here.pixel_size_y_nm, rel=2e-4)
    assert min(abs(here.angle_deg - a) for a in (9.0, -81.0)) < 0.3


@pytest.mark.parametrize("noise", [1.0, 5.0])
def test_the_uncertainty_is_that_of_the_errors(noise: float) -> None:
    pulls = []
    for seed in range(12):
        image = crystal(noise=noise, turn_deg=5 + 4 * seed, seed=seed, shape=(205, 311))
        found = calibrate(image, lattice_nm=SPACING_NM)
        pulls.append((found.pixel_size_x_nm / 0.02 - 1) / found.rel_u)
    assert 0.2 < np.sqrt(np.mean(np.square(pulls))) < 1.8


def test_fringes_one_way_give_one_pixel_size() -> None:
    x = np.arange(423) * 0.02
    rng = np.random.default_rng(3)
    fringes = np.cos(2 * np.pi * x / SPACING_NM) + 0.5 * rng.standard_normal((301, 423))
    found = calibrate(fringes, lattice_nm=SPACING_NM)
    assert found.pixel_size_x_nm == pytest.approx(0.02, rel=2e-3)
    assert found.pixel_size_y_nm == found.pixel_size_x_nm
    assert "one way" in found.how


def test_noise_shows_no_lattice() -> None:
    for seed in range(4):
        assert find_lattice(crystal(noise=300.0, seed=seed).astype(np.float32)) is None
    with pytest.raises(InputError, match="no lattice found"):
        calibrate(np.random.default_rng(0).poisson(40, (256, 301)), lattice_nm=SPACING_NM)


@pytest.mark.parametrize("lengths", [{}, {"lattice_nm": 0.39, "scale_bar_nm": 5.0}])
def test_one_length_is_wanted(lengths: dict[str, float]) -> None:
    with pytest.raises(InputError, match="one positive length wanted"):
        calibrate(crystal(), **lengths)
    with pytest.raises(InputError, match="one positive length wanted"):
        calibrate(crystal(), lattice_nm=-1.0)


def test_a_calibration_file_is_applied_to_other_images(tmp_path: Path) -> None:
    counts = (200 * (crystal() + 8)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "reference.tif", counts)
    tifffile.imwrite(tmp_path / "sample.tif", counts[:50])
    out = tmp_path / "calibration.json"
    result = calibrate_file(tmp_path / "reference.tif", out, lattice_nm=SPACING_NM)
    stored = json.loads(out.read_text())
    assert json.loads(result.describe(as_json=True)) == stored
    assert stored["source"] == "reference"
    assert stored["reference"].endswith("/reference.tif")
    assert "nm/px along y" in result.describe()
    scale = open_frames(tmp_path / "sample.tif", calibration=out).records[0].calibration
    assert scale.pixel_size_y_nm == pytest.approx(0.0202, rel=1e-3)
    assert scale.pixel_size_x_nm == pytest.approx(0.0200, rel=1e-3)
    assert (scale.source, scale.rel_u) == ("reference", stored["rel_u"])


def test_a_bar_calibrates_too(tmp_path: Path) -> None:
    image = np.clip(np.random.default_rng(1).normal(140, 12, (240, 331)), 0, 255)
    image[210:216, 20:120] = 0
    tifffile.imwrite(tmp_path / "bar.tif", image.astype(np.uint8))
    found = calibrate_file(tmp_path / "bar.tif", tmp_path / "c.json", scale_bar_nm=50)
    assert found.pixel_size_x_nm == pytest.approx(0.5, rel=0.01)
    with pytest.raises(InputError, match="no scale bar found"):
        calibrate(image[:200], scale_bar_nm=50)
    with pytest.raises(InputError, match="cannot write the calibration"):
        calibrate_file(tmp_path / "bar.tif", tmp_path / "no" / "c.json", scale_bar_nm=50)


def test_strontium_titanate(public_data: Path) -> None:
    """The file's own scale is 3 to 5 % large; against it, ours is that much smaller."""
    path = public_data / "micrographs" / "atomic-perovskite" / "16_STOimage_1.ser"
    frames = open_frames(path)
    found = calibrate(frames.load(frames.records[0]), lattice_nm=SPACING_NM)
    file = frames.records[0].calibration
    assert file.pixel_size_y_nm is not None
    for size in (found.pixel_size_y_nm, found.pixel_size_x_nm):
        assert 0.95 < size / file.pixel_size_y_nm < 0.975
    assert found.rel_u < 0.01
