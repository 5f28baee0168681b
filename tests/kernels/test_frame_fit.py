"""Sums of a joint fit against the reference, at rims, with odd sizes and any number of threads."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stempede_kernels.frame_fit as frame_fit
from stempede_kernels.frame_fit import reference

SHAPES = [(41, 57), (23, 9), (1, 7), (7, 1)]
RADIUS, SPACING = 9.3, 7.3


def columns(shape, n=7, seed=0):
    """Return places in and outside a frame, with inverse covariances, and whole-pixel middles."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(-3, 3 + np.array(shape), (n, 2))
    widths = rng.uniform(0.1, 0.4, (n, 2))
    slant = rng.uniform(-0.09, 0.09, n)
    gaussians = np.column_stack([places, widths[:, 0], slant, widths[:, 1]])
    return gaussians, np.rint(places).astype(np.int64)


def arguments(name, shape, seed=0):
    rng = np.random.default_rng(seed + 1)
    gaussians, centres = columns(shape, seed=seed)
    n = len(gaussians)
    active = np.arange(n) != 2
    weight, images = rng.uniform(0, 1, shape), rng.normal(size=(2, *shape))
    nodes = [int(size / SPACING) + 2 for size in shape]
    pairs = np.array([(a, b) for a in range(n) for b in range(a + 1, n)])
    disc = (gaussians, centres, RADIUS)
    return {
        "draw": (*disc, rng.normal(size=(n, 3, 6)), shape),
        "gather": (images, *disc, active),
        "row_sums": (weight, *disc, active),
        "squares": (weight, *disc, active),
        "products": (weight, gaussians, gaussians[:, :2] + 0.2, 8.1, pairs),
        "entries": (weight > 0.3, *disc),
        "mark": (weight > 0.3, gaussians[:, :2], 5.5, active),
        "surface": (rng.normal(size=nodes), SPACING, shape),
        "corner_sums": (images, SPACING),
        "corner_products": (weight, SPACING),
    }[name]


NAMES = (
    "draw gather row_sums squares products entries mark surface corner_sums corner_products".split()
)


def parts(found):
    return found if isinstance(found, tuple) else (found,)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_are_those_of_the_reference(name, shape):
    given_ = arguments(name, shape)
    wanted = parts(getattr(reference, name)(*given_))
    for found, right in zip(parts(getattr(frame_fit, name)(*given_)), wanted, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one thread only")
def test_threads_change_no_bit(name):
    given_, before = arguments(name, (67, 41)), numba.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            found.append(parts(getattr(frame_fit, name)(*given_)))
    finally:
        numba.set_num_threads(before)
    for one, two in zip(*found, strict=True):
        assert np.array_equal(one, two)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_sums_turn_with_the_frame(seed):
    shape = (19, 31)
    gaussians, centres = columns(shape, seed=seed)
    weight = np.random.default_rng(seed).uniform(0, 1, shape)
    active = np.ones(len(gaussians), bool)
    straight = frame_fit.squares(weight, gaussians, centres, RADIUS, active)
    turned = frame_fit.squares(
        weight.T, gaussians[:, [1, 0, 4, 3, 2]], centres[:, ::-1], RADIUS, active
    )
    order = np.array([1, 0, 2])
    np.testing.assert_allclose(turned[:, order][:, :, order], straight, rtol=1e-9, atol=1e-13)


def test_information_is_that_of_derivatives():
    shape = (33, 29)
    place = np.array([[15.2, 13.7, 0.2, 0.03, 0.15]])
    middle, step = np.rint(place[:, :2]).astype(int), 1e-4

    def light(change):
        forms = np.zeros((1, 1, 6))
        forms[0, 0, 0] = 1
        return frame_fit.draw(place + change, middle, 40.0, forms, shape)[0]

    slopes = []
    for axis in (0, 1):
        change = np.zeros(5)
        change[axis] = step
        slopes.append((light(change) - light(-change)) / (2 * step))
    slopes.append(light(np.zeros(5)))
    weight = np.random.default_rng(2).uniform(0, 1, shape)
    wanted = np.einsum("yx,pyx,qyx->pq", weight, slopes, slopes)
    found = frame_fit.squares(weight, place, middle, 40.0, np.ones(1, bool))[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize("spacing", [3.1, 7.3, 40.0])
def test_coupling_to_the_surface_is_that_of_the_reference(spacing):
    given_ = arguments("row_sums", (41, 57))
    found, wanted = (
        side.under_columns(*given_, spacing=spacing) for side in (frame_fit, reference)
    )
    assert np.array_equal(found[0], wanted[0])
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-9, atol=1e-12)
    # the weights of a pixel's nodes add up to 1
    whole = frame_fit.gather(given_[0][None], *given_[1:])[:, 0]
    np.testing.assert_allclose(found[1].sum(axis=(1, 2)), whole, rtol=1e-9, atol=1e-12)


def test_narrow_columns_far_out_in_their_disc_do_not_vanish():
    narrow = np.array([[4.0, 3.0, 30.0, 0.0, 30.0]])
    forms = np.zeros((1, 1, 6))
    forms[0, 0, 0] = 1
    image = frame_fit.draw(narrow, np.array([[4, 30]]), 60.0, forms, (9, 61))[0]
    assert image[4, 3] == pytest.approx(30 / (2 * np.pi))
    assert np.isfinite(image).all()


@pytest.mark.parametrize("noise", [(True, 0.0, 1.0), (False, 0.3, 0.0), (False, 0.2, 0.8)])
def test_gains_at_places_are_those_of_the_reference(noise):
    rng = np.random.default_rng(5)
    k, p = 3, 51
    pixels = rng.integers(0, 20, (k, p, 2))
    observed = rng.poisson(0.6, (k, p)).astype(float)
    observed[:, 3] = np.nan
    given_ = (
        pixels,
        observed,
        rng.uniform(0.1, 0.5, (k, p)),
        rng.uniform(5, 15, (k, 7, 2)),
        rng.uniform(3, 9, (k, 2)),
        np.array([2.0, 2.5, 3.0]),
    )
    found, wanted = (side.place_gains(*given_, noise=noise) for side in (frame_fit, reference))
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gaussians": np.ones((7, 4))}, "gaussians must be"),
        ({"gaussians": np.tile([1.0, 1, -1, 0, 1], (7, 1))}, "positive covariances"),
        ({"centres": np.ones((6, 2), int)}, "centres must be"),
        ({"weight": np.ones(5)}, "weight must be"),
        ({"active": np.ones(3, bool)}, "active must be"),
    ],
)
def test_what_does_not_fit_is_named(change, words):
    names = ("weight", "gaussians", "centres", "radius", "active")
    given_ = dict(zip(names, arguments("squares", (9, 11)), strict=True)) | change
    with pytest.raises(ValueError, match=words):
        frame_fit.squares(*given_.values())
