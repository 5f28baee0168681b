"""Superellipses: drawn against the plain equation, fits against the reference and their truth."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from superellipse_drawing import FRAME, SHAPES, labelled

from stempede_kernels.superellipse import (
    State,
    batch,
    choose,
    cpu,
    fit,
    overlap,
    plan,
    reference,
    render,
)
from stempede_kernels.superellipse.starts import starts

shapes_drawn = st.tuples(
    st.floats(18, 24),
    st.floats(20, 26),
    st.floats(9, 15),
    st.floats(0, 6.2),
    st.floats(0.7, 12),
    st.integers(1, 6),
    st.floats(1.05, 2.5),
).map(lambda row: np.array([row], float))


def drawn_finely(shape, size, samples=12):
    """Share of sample points within the outline of equation 1, pixel by pixel."""
    at = (np.arange(size * samples) + 0.5) / samples - 0.5
    dy, dx = at[:, None] - shape[0], at[None] - shape[1]
    inside = np.hypot(dy, dx) <= reference.radius(np.arctan2(dy, dx), shape)
    return inside.reshape(size, samples, size, samples).mean(axis=(1, 3))


@settings(max_examples=8)
@given(shapes_drawn)
def test_a_drawing_is_the_share_of_each_pixel_inside(shapes):
    found = render(shapes, 44)
    assert found.dtype == np.float32
    assert found.shape == (1, 44, 44)
    np.testing.assert_allclose(found[0], drawn_finely(shapes[0], 44), atol=0.05)
    assert abs(found[0].sum() - drawn_finely(shapes[0], 44).sum()) < 0.003 * found[0].sum() + 0.2


@settings(max_examples=10)
@example(np.array([[18.0, 20.0, 9.0, 0.0, 6.0, 2.0, 2.0]]), 0, 0)  # has a level edge
@given(shapes_drawn, st.integers(-9, 9), st.integers(-9, 9))
def test_a_drawing_equals_the_reference_wherever_it_is_cut_off(shapes, dy, dx):
    moved = shapes + np.array([dy, dx, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(render(moved, 31), reference.render(moved, 31), atol=1e-4)


def test_steps_of_the_fit_equal_the_reference():
    labels, frame, label, box = labelled()
    columns = [batch.fit_regions(e, labels, frame, label, box, None) for e in (cpu, reference)]
    for name in columns[0]:
        one, other = columns[0][name], columns[1][name]
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-8, err_msg=name)


def test_derivatives_are_those_of_the_logarithm_at_fixed_scale():
    points = np.array([[3.0, 7.5, 1.0], [-6.2, 1.4, 1.0], [0.3, -8.0, 0.7]])
    theta, d = np.array([0.4, -0.2, 2.0, 0.5, 0.4, 0.3]), 3
    misfit, rows = reference.misfits(points, theta, d)

    def logarithm(t):
        dy, dx = points[:, 0] - t[0], points[:, 1] - t[1]
        shape = np.array([0, 0, np.exp(t[2]), t[3], np.exp(t[4]), d, np.exp(t[5])])
        return np.log(np.hypot(dy, dx) / reference.radius(np.arctan2(dy, dx), shape))

    scale = misfit / logarithm(theta)
    for k in range(6):
        step = np.zeros(6)
        step[k] = 1e-6
        slope = (logarithm(theta + step) - logarithm(theta - step)) / 2e-6
        np.testing.assert_allclose(rows[:, k], scale * slope, rtol=1e-6, atol=1e-7)


def test_shapes_are_found_again():
    labels, frame, label, box = labelled()
    found = fit(labels, frame, label, box)
    np.testing.assert_array_equal(found.shapes[:, 5], SHAPES[:, 5])
    assert (found.state == State.CONVERGED).all()
    assert found.jaccard.min() > 0.94
    np.testing.assert_allclose(found.shapes[:, 6], SHAPES[:, 6], rtol=0.1)
    np.testing.assert_allclose(np.log(found.shapes[:, 4] / SHAPES[:, 4]), 0, atol=0.35)
    np.testing.assert_allclose(overlap(labels, frame, label, box, found.shapes), found.jaccard)


def test_more_pixels_bring_the_fit_to_the_truth():
    shapes = SHAPES * [6, 6, 6, 1, 1, 1, 1]
    labels, frame, label, box = labelled(shapes, (270, 294))
    found = fit(labels, frame, label, box)
    np.testing.assert_allclose(found.shapes[:, 4], SHAPES[:, 4], rtol=0.08)
    np.testing.assert_allclose(found.shapes[:, 6], SHAPES[:, 6], rtol=0.02)
    np.testing.assert_allclose(found.shapes[:, 2], shapes[:, 2], rtol=0.03)
    turn = 2 * np.pi / SHAPES[:, 5]
    turn[1] /= 2  # a square looks the same after a quarter turn, L = 1 or not
    off = (found.shapes[:, 3] - SHAPES[:, 3] + turn / 2) % turn - turn / 2
    assert np.abs(off).max() < 0.02


@settings(max_examples=5)
@given(st.integers(-3, 5), st.integers(-4, 6), st.integers(0, 3))
def test_shifts_and_quarter_turns_move_the_shape_alone(dy, dx, quarters):
    labels, frame, label, box = labelled()
    n, (height, width) = len(labels), FRAME
    room = np.pad(labels, ((0, 0), (9, 9), (9, 9)))
    turned = np.rot90(room, -quarters, axes=(1, 2))
    moved = np.ascontiguousarray(np.roll(turned, (dy, dx), axis=(1, 2)))
    boxes = []
    for mask in moved > 0:
        rows, columns = np.nonzero(mask)
        boxes.append([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])
    plain, found = fit(labels, frame, label, box), fit(moved, frame, label, np.array(boxes))
    np.testing.assert_array_equal(found.jaccard, plain.jaccard)
    np.testing.assert_allclose(found.shapes[:, [2, 4, 6]], plain.shapes[:, [2, 4, 6]], rtol=0.02)
    turn = 2 * np.pi / plain.shapes[:, 5]
    off = found.shapes[:, 3] - plain.shapes[:, 3] - quarters * np.pi / 2
    off = (off + turn / 2) % turn - turn / 2
    assert np.abs(off).max() < 0.02
    assert (n, height, width) == labels.shape


def test_a_batch_equals_single_fits_in_any_order():
    labels, frame, label, box = labelled()
    together = fit(labels, frame, label, box)
    order = np.array([3, 0, 5, 1, 4, 2])
    mixed = fit(labels, frame[order], label[order], box[order])
    np.testing.assert_array_equal(mixed.shapes, together.shapes[order])
    for k in range(len(labels)):
        alone = fit(labels[k : k + 1], [0], label[k : k + 1], box[k : k + 1])
        for name in vars(together):
            wanted = getattr(together, name)[k : k + 1]
            np.testing.assert_allclose(getattr(alone, name), wanted, rtol=1e-9, err_msg=name)


@settings(max_examples=30)
@given(st.integers(1, 6), st.floats(-2, 2), st.floats(0.8, 9), st.floats(-7, 7), st.floats(0.5, 20))
def test_the_canonical_form_is_the_same_outline(d, log_l, p, angle, radius):
    theta = np.array([[1.0, 2.0, np.log(radius), angle, np.log(p), log_l]])
    order = np.array([d])
    same = choose.canonical(theta, order)
    assert same[0, 5] >= 0
    assert 0 <= same[0, 3] <= 2 * np.pi / d
    u = np.linspace(0, 6.28, 97)
    outlines = [
        reference.radius(u, choose.to_shapes(t, order, np.zeros((1, 2)))[0]) for t in (theta, same)
    ]
    np.testing.assert_allclose(*outlines, rtol=1e-5)


def test_a_circle_is_one_and_the_simplest_d():
    labels, frame, label, box = labelled(np.array([[22.2, 23.7, 17.0, 0.0, 2.0, 2, 1.0]]))
    found = fit(labels, frame, label, box)
    assert found.shapes[0, 5] == 2
    assert found.jaccard_circle[0] > found.jaccard[0] - 0.01
    square = fit(*labelled(SHAPES[1:2]))
    assert square.jaccard_circle[0] < square.jaccard[0] - 0.05
    assert square.shapes[0, 4] >= 2


def test_outlines_that_no_ray_meets_once():
    labels = np.zeros((1, 40, 51), np.int32)
    labels[0, 5:35, 8:14] = 2
    labels[0, 5:11, 8:40] = 2
    labels[0, 29:35, 8:40] = 2
    found = fit(labels, [0], [2], [[5, 8, 35, 40]])
    assert np.isfinite(found.shapes).all()
    assert 0.3 < found.jaccard[0] < 0.9


def test_a_guess_limits_what_is_tried_unless_it_fits_poorly():
    labels, frame, label, box = labelled()
    outlines = cpu.trace(labels, frame, label, box)
    guess = np.full((len(labels), 6, 2, 2), np.nan)
    guess[:, 3, 0] = 0.8, 1.8
    _, order, _ = starts(outlines, guess)
    np.testing.assert_array_equal(order, 4)
    found = fit(labels, frame, label, box, guess=guess)
    assert found.jaccard.min() > 0.9
    right = np.full_like(guess, np.nan)
    for k, shape in enumerate(SHAPES):
        right[k, int(shape[5]) - 1, int(shape[4] >= 2)] = shape[4], shape[6]
    near = fit(labels, frame, label, box, guess=right)
    np.testing.assert_allclose(near.jaccard, fit(labels, frame, label, box).jaccard, atol=0.02)


def test_a_circle_goes_by_the_ellipse_whatever_the_guess():
    labels, frame, label, box = labelled(np.array([[20.3, 24.8, 13.0, 0.0, 2.0, 2, 1.0]]))
    guess = np.full((1, 6, 2, 2), np.nan)
    guess[0, 0, 1] = 2.1, 1.05
    found = fit(labels, frame, label, box, guess=guess)
    assert found.jaccard[0] > 0.95
    assert found.shapes[0, 5] == 2


def test_regions_too_small_to_fit_say_so():
    labels = np.zeros((1, 9, 11), np.int32)
    labels[0, 3, 4] = 1
    labels[0, 6:8, 7:9] = 2
    found = fit(labels, [0, 0], [1, 2], [[3, 4, 4, 5], [6, 7, 8, 9]])
    assert (found.state == State.SINGULAR).all()
    assert np.isnan(found.shapes).all()
    assert np.isnan(found.jaccard).all()
    nothing = fit(labels, np.zeros(0, int), np.zeros(0, int), np.zeros((0, 4), int))
    assert nothing.shapes.shape == (0, 7)


def test_what_does_not_fit_together_is_refused():
    labels, frame, label, box = labelled()
    with pytest.raises(TypeError, match="must hold integers"):
        fit(labels, frame + 0.5, label, box)
    with pytest.raises(ValueError, match="frame must lie in"):
        fit(labels, frame + 1, label, box)
    with pytest.raises(ValueError, match="guess must be"):
        fit(labels, frame, label, box, guess=np.zeros((1, 3)))
    with pytest.raises(ValueError, match="whole number from 1 to 6"):
        render(SHAPES + np.eye(7)[5] / 2, 8)
    with pytest.raises(ValueError, match="above 0"):
        render(-SHAPES, 8)


@pytest.mark.parametrize(("p", "wins"), [(25.0, 1), (np.exp(plan.HIGH[4]), 0)])
def test_a_star_with_hollow_sides_is_not_a_square_that_has_none(p, wins):
    # two fits of d = 2 that are nearly alike: p above 2 is kept, but not where it is at its bound
    theta = np.zeros((2, plan.N_FREE))
    theta[:, 4] = np.log([0.95, p])
    nothing = np.ones(2, np.int32)
    fits = choose.Candidates(
        np.zeros(2, np.int64),
        np.full(2, 2),
        theta,
        np.array([1.0, 1.05**2]),
        np.array([0.98, 0.978]),
        nothing.astype(np.int8),
        nothing,
    )
    winner, _ = choose.chosen(fits, np.array([0.9]))
    assert winner[0] == wins
