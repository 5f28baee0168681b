"""Counts: the electron scale from metadata, or from the noise of the frame itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from stempede.backend import Backend
from stempede.frames import FrameRecord, Frames
from stempede.preprocess.counts import Counts, measured_scale

SHAPE = (181, 240)
CPU = Backend.choose("cpu")


def expected(peak: float) -> np.ndarray:
    """Columns of 3 px width on a square lattice, an empty half beside them."""
    yy, xx = np.indices(SHAPE, float)
    image = np.full(SHAPE, 0.02 * peak)
    for y in range(12, SHAPE[0], 20):
        for x in range(10, SHAPE[1] // 2, 20):
            image += peak * np.exp(-((yy - y) ** 2 + (xx - x) ** 2) / 18)
    return image


def electrons(peak: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(expected(peak)).astype(np.float32)


def batch(image: np.ndarray, **instrument: float):
    record = FrameRecord(0, "a", 0, image.shape, "float32", instrument=instrument)
    return Frames((record,), lambda _: image).read([0], CPU)


def scale(image: np.ndarray):
    return measured_scale(image.astype(np.float32), np.ones(image.shape, bool), CPU)


@pytest.mark.parametrize("peak", [0.3, 3.0, 60.0])
def test_counts_that_are_electrons_stay_as_they_are(peak: float) -> None:
    found = scale(electrons(peak))
    assert (found.source, found.gain, found.offset, found.noise) == ("counts", 1, 0, "poisson")


@pytest.mark.parametrize("gain", [0.02, 37.0])
def test_gain_and_offset_are_found_in_the_noise(gain: float) -> None:
    image = gain * (electrons(4.0) + 5.0)
    found = scale(image)
    assert found.source == "vacuum"
    assert found.gain == pytest.approx(gain, rel=0.05)
    assert found.offset == pytest.approx(5 * gain, rel=0.01)


def test_a_frame_full_of_lattice_claims_no_vacuum() -> None:
    yy, xx = np.indices(SHAPE)
    mean = 120 + 60 * (np.cos(2 * np.pi * yy / 20) + np.cos(2 * np.pi * xx / 20) + 2)
    found = scale(22 * np.random.default_rng(4).poisson(mean) + 13_000)
    assert found.source == "noise"
    assert found.gain == pytest.approx(22, rel=0.15)
    assert found.offset == pytest.approx(13_000, abs=0.15 * 22 * 240)


def test_read_noise_is_taken_up_as_electrons_that_are_always_there() -> None:
    read = np.random.default_rng(1).normal(0, 0.4, SHAPE)
    found = scale(37 * (electrons(4.0) + read) + 120)
    assert found.gain == pytest.approx(37, rel=0.07)
    assert found.offset == pytest.approx(120 - 37 * 0.4**2, abs=1.5)


@pytest.mark.parametrize(
    "image",
    [
        ndimage.gaussian_filter(electrons(4.0), 1.0),
        expected(1.0) + np.random.default_rng(2).normal(0, 0.1, SHAPE),
        np.zeros(SHAPE),
        np.random.default_rng(3).normal(0, 1, (9, 9)),
    ],
    ids=["filtered", "noise that does not grow", "one value", "tiny"],
)
def test_without_a_sign_of_electrons_there_is_no_scale(image: np.ndarray) -> None:
    found = scale(image)
    assert (found.source, found.noise, found.gain) == ("none", "gaussian", 1)


def test_metadata_decides_where_it_stands() -> None:
    image = 37 * electrons(4.0) + 120
    known = {"gain_per_electron": 37.0, "offset": 120.0, "read_noise_electrons": 0.25}
    out = Counts()(batch(image, **known))
    assert np.allclose(out.maps["electrons"][0], electrons(4.0), atol=1e-4)
    frames = out.tables["frames"]
    assert frames["counts_source"][0] == "metadata"
    assert frames["noise_model"][0] == "poisson-gaussian"
    assert frames["read_noise_electrons"][0] == 0.25


def test_offset_counts_once_for_each_scan() -> None:
    image = np.full(SHAPE, 360.0, np.float32) + electrons(2.0)
    start = batch(image, gain_per_electron=1.0, offset=120.0)
    out = Counts()(start.with_(maps={"exposure": np.full((1, *SHAPE), 3, np.float32)}))
    assert np.allclose(out.maps["electrons"][0], electrons(2.0), atol=1e-3)


def test_the_noise_model_can_be_set() -> None:
    out = Counts(noise="gaussian")(batch(electrons(4.0)))
    assert out.tables["frames"]["noise_model"][0] == "gaussian"
    with pytest.raises(ValueError, match="noise is one of"):
        Counts(noise="none")  # type: ignore[arg-type]
