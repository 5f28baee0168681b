"""Bending: errors of straight vectors where columns do not stand on a straight lattice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stempede.columns.bending import Bending

VECTORS = np.array([[0.4, 40.0], [41.0, -0.6]])
IJ = np.array([(i, j) for i in range(9) for j in range(7)], float)
ERROR = 0.1


def gamma(points: np.ndarray) -> dict[str, np.ndarray]:
    a, b = points[:, 0], points[:, 1]
    across = a[:, 1] * b[:, 0] - a[:, 0] * b[:, 1]
    return {"gamma_deg": np.degrees(np.arctan2(across, (a * b).sum(axis=1)))}


def columns(seed: int, shear: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Columns with noise, and b sheared along x by as much more from each row to the next."""
    rng = np.random.default_rng(seed)
    yx = IJ @ VECTORS + rng.normal(0, ERROR, (len(IJ), 2))
    yx[:, 1] += 0.5 * shear * (IJ[:, 1] - IJ[:, 1].mean()) ** 2
    return yx, np.tile(ERROR**2 * np.eye(2), (len(IJ), 1, 1))


def test_a_straight_lattice_has_none() -> None:
    found = [Bending.of(IJ, *columns(seed)) for seed in range(200)]
    assert sum(f is not None for f in found) == 0


@pytest.mark.parametrize("shear", [0.2, -0.5])
def test_spread_is_that_of_the_local_lattice(shear: float) -> None:
    bending = Bending.of(IJ, *columns(1, shear))
    assert bending is not None
    slopes = shear * (IJ[:, 1] - IJ[:, 1].mean())
    expected = np.degrees(np.sqrt((slopes**2).mean()) / np.hypot(*VECTORS[1]))
    assert bending.spread(gamma, VECTORS)["gamma_deg"] == pytest.approx(expected, rel=0.1)
    assert bending.scatter == pytest.approx(1, abs=0.25)


@settings(max_examples=20, deadline=None)
@given(st.floats(-50, 50), st.floats(-5, 5))
def test_neither_place_nor_numbering_matters(shift: float, step: float) -> None:
    yx, covariance = columns(2, 0.3)
    one = Bending.of(IJ, yx, covariance)
    other = Bending.of(IJ + round(step), yx + shift, covariance)
    assert one is not None
    assert other is not None
    names = one.spread(gamma, VECTORS), other.spread(gamma, VECTORS)
    assert names[0] == pytest.approx(names[1], rel=1e-6)
    assert one.scatter == pytest.approx(other.scatter)


def test_few_columns_or_a_line_tell_nothing() -> None:
    yx, covariance = columns(3, 2.0)
    assert Bending.of(IJ[:12], yx[:12], covariance[:12]) is None
    line = IJ[:, 1] == 0
    assert Bending.of(IJ[line], yx[line], covariance[line]) is None
    assert Bending.of(IJ, yx, np.full_like(covariance, np.nan)) is None


def test_columns_that_scatter_more_than_their_errors_widen_them() -> None:
    yx, covariance = columns(4)
    bending = Bending.of(IJ, yx, covariance / 9)
    assert bending is not None
    assert bending.scatter == pytest.approx(9, rel=0.25)
