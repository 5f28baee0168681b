"""Peaks: width and place of columns, at any dose and unit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lattice_frames import batch_of, dot_frame, points
from scipy.spatial import cKDTree

from stempede.backend import Backend
from stempede.columns.peaks import Peaks, maxima, response_of
from stempede.columns.response import column_width, poisson_like, root_ratio

CPU = Backend.choose("cpu")


def spots(shape, yx, sigma, counts, level=0.0):
    y, x = np.indices(shape)
    image = np.full(shape, float(level))
    for cy, cx in yx:
        square = (y - cy) ** 2 + (x - cx) ** 2
        image += counts / (2 * np.pi * sigma**2) * np.exp(-square / (2 * sigma**2))
    return image


@given(sigma=st.floats(1.5, 5.0), counts=st.floats(20, 2000), seed=st.integers(0, 9))
@settings(max_examples=12)
def test_width_of_columns_comes_from_the_frame(sigma, counts, seed):
    rng = np.random.default_rng(seed)
    yx = (np.indices((4, 5)).reshape(2, -1).T + 0.7) * 8.3 * sigma + rng.normal(0, 0.3, (20, 2))
    mean = spots((int(39 * sigma), int(47 * sigma)), yx, sigma, counts, level=0.01)
    found = column_width(rng.poisson(mean).astype(np.float32), CPU)
    # of twenty faint and wide columns one frame in twenty says that it does not know
    assert found == pytest.approx(sigma, rel=0.15) or (np.isnan(found) and counts < 30)


def test_isolated_column_is_measured_without_bias():
    yx = np.array([[30.3, 41.8], [70.6, 25.1]])
    image = spots((101, 83), yx, 3.0, 50.0, level=0.02).astype(np.float32)
    seen = response_of(batch_of(image), 0, sigma_px=3.0)
    found = maxima(seen, CPU)
    order = np.argsort(-found["height"])[:2]
    off, _ = cKDTree(yx).query(np.stack([found["y_px"], found["x_px"]], 1)[order])
    assert off.max() < 0.05
    np.testing.assert_allclose(found["height"][order], 50.0, rtol=0.03)


def test_columns_of_seven_electrons_are_candidates():
    electrons, truth = dot_frame(200.0, cells=(6, 6), size=(420, 431))
    peaks = Peaks()(batch_of(electrons)).tables["peaks"]
    true = truth["truth_columns"]
    for species, least in (("Pb+X", 1.0), ("Cs", 0.93), ("X", 0.9)):
        own = points(true.take(true["species"] == species))
        off, _ = cKDTree(points(peaks)).query(own)
        assert np.mean(off * 0.15 < 1.0) >= least, species


def test_peaks_do_not_depend_on_the_rest_of_the_batch():
    one, two = (dot_frame(frame=k)[0] for k in (0, 1))
    both = Peaks()(batch_of(np.stack([one, two]))).tables["peaks"]
    alone = Peaks()(batch_of(two, first=4)).tables["peaks"]
    own = both.take(both["frame"] == 4)
    for name in own.schema.names:
        np.testing.assert_array_equal(own[name], alone[name])


def test_transposed_frame_gives_transposed_peaks():
    electrons, _ = dot_frame()
    plain = points(Peaks()(batch_of(electrons)).tables["peaks"])
    turned = points(Peaks()(batch_of(electrons.T)).tables["peaks"])[:, ::-1]
    assert len(plain) == len(turned)
    assert cKDTree(plain).query(turned)[0].max() < 0.02


def test_unit_and_offset_of_a_frame_do_not_matter():
    electrons, _ = dot_frame(5000.0)
    first, second = (
        Peaks()(batch_of(image, noise="gaussian")).tables["peaks"]
        for image in (electrons, 0.003 * electrons - 7)
    )
    strong = [p.take(p["significance"] > 6) for p in (first, second)]
    assert len(strong[0]) == len(strong[1]) > 60
    np.testing.assert_allclose(points(strong[0]), points(strong[1]), atol=0.02)


@pytest.mark.parametrize(
    "electrons",
    [
        np.zeros((60, 71)),
        np.full((60, 71), np.nan),
        np.full((60, 71), 3.0),
        np.random.default_rng(0).poisson(0.02, (211, 300)),
        np.random.default_rng(0).poisson(5.0, (211, 300)),
        np.random.default_rng(0).poisson(2.0, (8, 9)),
    ],
    ids=["zero", "nan", "constant", "sparse noise", "noise", "tiny"],
)
def test_frame_without_columns_says_so(electrons):
    batch = Peaks()(batch_of(electrons))
    assert len(batch.tables["peaks"]) == 0
    assert [p.frame for p in batch.problems] == [3]
    assert "no column found" in batch.problems[0].reason


def test_gaussian_noise_becomes_poisson_like():
    rng = np.random.default_rng(1)
    frame = rng.normal(-40.0, 0.2, (200, 220)).astype(np.float32)
    counts, _, shift = poisson_like(frame, CPU, model="gaussian", read_noise=0.0)
    assert np.var(counts) == pytest.approx(shift, rel=0.05)


def test_root_ratio_is_that_of_poisson_counts():
    ratio = root_ratio(np.array([0.0, 6.0, -2.0]), np.full(3, 0.04), 100.0)
    np.testing.assert_allclose(
        ratio, [0, np.sqrt(2 * (10 * np.log(2.5) - 6)), -np.sqrt(2 * (2 * np.log(0.5) + 2))]
    )
