import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.fitted_frames import fitted, lattice
from stempede.columns.alloy import anchored
from stempede.columns.crystal import SHIPPED
from stempede.columns.halides import Halides, fractions
from stempede.columns.map_correlation import correlate

RATIO = 0.494


def mixed(fraction, *, error=0.02, slope=0.0, seed=0, cells=(7, 6)):
    """Return rows of a crystal whose X columns hold these fractions, thickness a wedge."""
    i, j, species, yx = lattice(cells)
    rng = np.random.default_rng(seed)
    x = species == "X"
    held = np.zeros(len(i))
    held[x] = fraction(i[x], j[x], rng)
    thickness = 1 + slope * (i - i.mean())
    base = np.where(species == "Pb+X", 300.0, np.where(species == "Cs", 100.0, 80.0))
    true = thickness * base * np.where(x, 1 - (1 - RATIO) * held, 1.0)
    se = error * base
    intensity = true + rng.normal(0, 1, len(i)) * se
    measured = {"accepted": np.ones(len(i), bool), "intensity": intensity, "se_intensity": se}
    return fitted(i, j, species, yx, **measured), held, x


def found(rows, reference=None):
    return fractions(rows, SHIPPED["CsPbI3"], reference, RATIO)


def test_a_known_reference_gives_fractions_and_true_errors_on_a_wedge():
    off = []
    for seed in range(8):
        rows, held, x = mixed(
            lambda i, j, rng: rng.binomial(5, 0.2, len(i)) / 5, slope=0.04, seed=seed
        )
        alloy = found(rows, reference=80 / 300)
        off.append(((alloy.fraction - held) / alloy.error)[x & np.isfinite(alloy.fraction)])
        assert not np.isfinite(alloy.fraction[~x]).any()
    off = np.concatenate(off)
    # B columns of this wedge hold no X: the brightness put back for it is their error
    assert abs(off.mean()) < 1.0
    assert 0.8 < off.std() < 1.3


def test_a_pure_crystal_has_no_bromine():
    rows, _, _ = mixed(lambda i, j, rng: np.zeros(len(i)), error=0.08)
    alloy = found(rows)
    values = alloy.fraction[np.isfinite(alloy.fraction)]
    assert abs(values.mean()) < 4 * np.hypot(values.std() / np.sqrt(len(values)), alloy.level_error)


@settings(max_examples=20)
@given(st.floats(0.5, 2.0), st.integers(0, 99))
def test_fractions_do_not_depend_on_the_unit(unit, seed):
    rng = np.random.default_rng(seed)
    relative, noise = rng.normal(1, 0.2, 40), np.full(40, 0.1)
    one = anchored(relative, noise, None, RATIO)
    two = anchored(relative * unit, noise * unit, None, RATIO)
    assert two.fraction == pytest.approx(one.fraction, abs=1e-9)
    assert two.error == pytest.approx(one.error)


def test_too_few_columns_are_unknown():
    rows, _, _ = mixed(lambda i, j, rng: np.zeros(len(i)))
    assert not np.isfinite(found(rows.take(np.arange(3))).fraction).any()


def maps(rng, shared):
    j, i = (a.ravel().astype(float) for a in np.meshgrid(np.arange(8), np.arange(9)))
    a = shared * (i - 4) / 3 + rng.normal(0, 0.3, len(i))
    b = -shared * (i - 4) / 3 + rng.normal(0, 0.3, len(i))
    error = np.full(len(i), 0.3)
    return np.column_stack([i, j]), (a, error), (b, error)


def test_a_shared_gradient_is_a_correlation_without_the_errors_part():
    ij, one, other = maps(np.random.default_rng(2), 1.0)
    strength, chance = correlate(ij, one, other)
    assert strength < -0.9
    assert chance < 0.1


def test_chance_is_even_without_a_correlation():
    chances = [correlate(*maps(np.random.default_rng(s), 0.0))[1] for s in range(60)]
    assert 0.3 < np.mean(chances) < 0.7
    assert np.mean(np.array(chances) < 0.1) < 0.25


def test_few_sites_have_no_correlation():
    ij, one, other = maps(np.random.default_rng(0), 1.0)
    few = [tuple(v[:8] for v in pair) for pair in (one, other)]
    assert np.isnan(correlate(ij[:8], *few)).all()


def test_wrong_parameters_are_named():
    with pytest.raises(ValueError, match="ratio lies between"):
        Halides(ratio=1.5)
    with pytest.raises(ValueError, match="reference is above 0"):
        Halides(reference=-1.0)
