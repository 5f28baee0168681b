"""Fits of Gaussians: truth found, symmetries kept, bad windows told apart."""

import numpy as np
import pytest
from gaussian_frames import angle_between, gaussians, lattice, rough
from hypothesis import given, settings
from hypothesis import strategies as st

from stempede_kernels.gaussian_fit import State, fit_gaussians

FRAME, TRUTH, START = lattice(3, 4)
HERE = np.zeros(len(TRUTH), np.int64)
ALONE = {"neighbours": False, "window": 17}


def fit(image, start, **options):
    images = image if image.ndim == 3 else image[None]
    frame = options.pop("frame", np.zeros(len(start), np.int64))
    return fit_gaussians(images, frame, start, **options)


@pytest.mark.parametrize("noise", ["poisson", "gaussian", "poisson-gaussian"])
@pytest.mark.parametrize("neighbours", [False, True])
def test_rotated_gaussians_are_found_within_their_errors(noise, neighbours):
    variance = 0.5 if noise == "poisson-gaussian" else None
    image = FRAME + np.random.default_rng(1).normal(0, np.sqrt(variance or 0), FRAME.shape)
    found = fit(image, START, noise=noise, variance=variance, neighbours=neighbours, window=17)
    assert (found.state == State.CONVERGED).all()
    difference = found.parameters - TRUTH
    difference[:, 5] = angle_between(found.parameters[:, 5], TRUTH[:, 5])
    # uniform weights misjudge the errors of Poisson counts, by up to two
    limit = 4.0 if noise != "gaussian" else 8.0
    assert (np.abs(difference) < limit * found.errors).all()
    volume = 2 * np.pi * TRUTH[:, 2:5].prod(axis=1)
    assert (np.abs(found.intensity - volume) < limit * found.se_intensity).all()
    assert (found.ratio > 100).all()


def test_noise_free_gaussians_are_found_exactly():
    image = gaussians(FRAME.shape, TRUTH, 0.5)
    for model, column in (("circular", 3), ("upright", 5), ("rotated", 6)):
        truth = TRUTH.copy()
        if model != "rotated":
            truth[:, 5] = 0.0
        if model == "circular":
            truth[:, 4] = truth[:, 3]
        image = gaussians(FRAME.shape, truth, 0.5).astype(np.float32)
        found = fit(image, rough(truth, np.random.default_rng(2)), model=model, tolerance=1e-6)
        assert (found.state == State.CONVERGED).all()
        # what the neighbours' tails lack beyond their reach is left
        np.testing.assert_allclose(found.parameters[:, :column], truth[:, :column], atol=5e-3)


def test_shift_moves_positions_and_nothing_else():
    whole = fit(FRAME, START, **ALONE)
    moved_start = START.copy()
    moved_start[:, :2] += 5, 9
    wide = np.zeros((FRAME.shape[0] + 5, FRAME.shape[1] + 9), np.float32)
    wide[5:, 9:] = FRAME
    inner = (START[:, :2] > 9).all(axis=1)
    moved = fit(wide, moved_start, **ALONE)
    shifted = whole.parameters + np.array([5, 9, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(moved.parameters[inner], shifted[inner], rtol=1e-9)


def test_transposition_swaps_axes_and_turns_angles():
    found = fit(FRAME, START, tolerance=1e-5)
    start = START[:, [1, 0, 2, 3, 4, 5, 6]]
    start[:, 5] = np.pi / 2 - start[:, 5]
    other = fit(FRAME.T, start, tolerance=1e-5)
    np.testing.assert_allclose(other.parameters[:, [1, 0]], found.parameters[:, :2], atol=1e-6)
    np.testing.assert_allclose(other.parameters[:, 2:5], found.parameters[:, 2:5], rtol=1e-6)
    turned = angle_between(np.pi / 2 - other.parameters[:, 5], found.parameters[:, 5])
    assert turned.max() < 1e-5
    np.testing.assert_allclose(other.errors[:, [1, 0]], found.errors[:, :2], rtol=1e-5)


@settings(max_examples=15, deadline=None)
@given(factor=st.floats(0.1, 20), noise=st.sampled_from(["gaussian", "poisson"]))
def test_scaled_counts_scale_amplitudes_and_offsets(factor, noise):
    scale = np.array([1, 1, factor, 1, 1, 1, factor])
    found = fit(FRAME, START, noise=noise, tolerance=1e-5, **ALONE)
    scaled = fit(FRAME * np.float32(factor), START * scale, noise=noise, tolerance=1e-5, **ALONE)
    np.testing.assert_allclose(scaled.parameters, found.parameters * scale, rtol=1e-4, atol=1e-4)


def test_order_batch_and_company_change_nothing():
    order = np.random.default_rng(3).permutation(len(START))
    found = fit(FRAME, START)
    permuted = fit(FRAME, START[order])
    np.testing.assert_allclose(permuted.parameters, found.parameters[order], rtol=1e-10)
    stack = np.stack([np.zeros_like(FRAME), FRAME, FRAME[::-1]])
    batch = fit(stack, np.concatenate([START, START]), frame=np.repeat([1, 2], len(START)))
    np.testing.assert_array_equal(batch.parameters[: len(START)], found.parameters)
    for k in range(len(START)):
        single = fit(FRAME, START[k : k + 1], **ALONE)
        np.testing.assert_array_equal(
            single.parameters[0], fit(FRAME, START, **ALONE).parameters[k]
        )


def test_threads_and_blocks_change_nothing(monkeypatch):
    frame, _, start = lattice(9, 10)
    said = []
    # 90 fits are one block where one thread runs, else two
    for threads in (1, 2):
        monkeypatch.setattr("stempede_kernels.threads.get_num_threads", lambda n=threads: n)
        said.append(fit(frame, start))
    np.testing.assert_array_equal(said[0].parameters, said[1].parameters)
    np.testing.assert_array_equal(said[0].errors, said[1].errors)


def test_windows_at_the_rim_use_what_is_there():
    truth = np.array([[2.3, 30.6, 40.0, 2.5, 2.5, 0.0, 1.0], [24.8, 1.4, 40.0, 2.5, 2.5, 0.0, 1.0]])
    image = np.random.default_rng(6).poisson(gaussians((27, 33), truth, 1.0)).astype(np.float32)
    found = fit(image, truth, model="circular")
    assert (found.state == State.CONVERGED).all()
    assert (np.abs(found.parameters - truth)[:, :3] < 4 * found.errors[:, :3]).all()
    np.testing.assert_array_equal(found.pixels, [10 * 9, 9 * 9])


def test_pixels_that_are_not_finite_are_left_out():
    image, start = FRAME.copy(), START[5:6]
    hole = tuple(np.rint(start[0, :2]).astype(int))
    image[hole] = np.nan
    image[hole[0] + 1, hole[1]] = np.inf
    found = fit(image, start, **ALONE)
    assert found.state[0] == State.CONVERGED
    assert found.pixels[0] == 17 * 17 - 2
    assert (np.abs(found.parameters - TRUTH[5:6])[:, :2] < 4 * found.errors[:, :2]).all()


@pytest.mark.parametrize("noise", ["poisson", "gaussian"])
@pytest.mark.parametrize("level", [0.0, 7.0, np.nan])
def test_windows_without_anything_give_a_state_and_no_error(noise, level):
    start = np.array([[10.2, 11.1, 5.0, 2.0, 2.0, 0.0, 1.0], [90.0, 5.0, 5.0, 2.0, 2.0, 0.0, 1.0]])
    found = fit(np.full((21, 25), level, np.float32), start, noise=noise)
    lost = [State.SINGULAR, State.OUT_OF_WINDOW]
    assert found.state[0] in lost or found.ratio[0] < 0.01
    assert found.state[1] == State.SINGULAR
    assert np.isnan(found.errors[1]).all()


def test_starts_that_make_no_sense_are_singular():
    start = np.repeat(START[:1], 4, axis=0)
    start[0, 0], start[1, 2], start[2, 3], start[3, 6] = np.nan, -1.0, 0.0, np.inf
    found = fit(FRAME, start, **ALONE)
    assert (found.state == State.SINGULAR).all()
    assert np.isnan(found.errors).all()


def test_a_saturated_column_keeps_its_place():
    image = np.minimum(gaussians(FRAME.shape, TRUTH, 0.5), 6.0).astype(np.float32)
    found = fit(image, START)
    assert (found.state == State.CONVERGED).all()
    assert np.abs(found.parameters - TRUTH)[:, :2].max() < 0.1


def test_a_sloping_background_is_followed():
    y, x = np.mgrid[: FRAME.shape[0], : FRAME.shape[1]]
    image = gaussians(FRAME.shape, TRUTH, 0.5) + 0.05 * y + 0.03 * x
    flat = fit(image.astype(np.float32), START, window=17)
    plane = fit(image.astype(np.float32), START, window=17, plane=True)
    np.testing.assert_allclose(plane.slopes, [[0.05, 0.03]] * len(START), atol=5e-3)
    assert np.abs(plane.parameters - TRUTH)[:, :2].max() < 0.01
    assert np.abs(flat.parameters - TRUTH)[:, :2].max() > 0.02


def test_neighbours_three_sigma_apart_do_not_pull():
    truth = np.array([[15.3, 11.0, 60, 2.5, 2.5, 0, 2], [15.9, 18.6, 20, 2.5, 2.5, 0, 2.0]])
    image = gaussians((31, 33), truth, 2.0).astype(np.float32)
    start = truth + np.array([[0.6, 0.5, 9, 0, 0, 0, 0], [-0.5, 0.6, -4, 0, 0, 0, 0]])
    found = fit(image, start, model="circular", window=13)
    lonely = fit(image, start, model="circular", window=13, neighbours=False)
    assert np.abs(found.parameters - truth)[:, :2].max() < 0.02
    assert np.abs(lonely.parameters - truth)[1, :2].max() > 0.2
    assert found.sweeps < 10


@pytest.mark.parametrize(("apart", "nearness"), [(2.0, 0.03), (1.5, 0.1)])
def test_equal_neighbours_within_two_sigma_are_told_apart_by_many_sweeps(apart, nearness):
    truth = np.array([[20.3, 18.8, 40, 3, 3, 0, 1], [20.3, 18.8 + 3 * apart, 40, 3, 3, 0, 1.0]])
    image = gaussians((41, 43), truth, 1.0).astype(np.float32)
    start = truth + np.array([[0.5, 0.4, 6, 0, 0, 0, 0], [-0.3, 0.5, -5, 0, 0, 0, 0]])
    held = {"model": "circular", "free_shape": False, "window": 21}
    found = fit(image, start, sweeps=60, **held)
    assert (found.state == State.CONVERGED).all()
    assert np.abs(found.parameters - truth)[:, :2].max() < nearness
    # the default number of sweeps does not lose them, but is not there yet
    few = fit(image, start, **held)
    assert (few.state == State.CONVERGED).all()
    assert np.abs(few.parameters - truth)[:, :2].max() < 0.5


def test_groups_share_widths_and_know_them_better():
    group = np.arange(len(TRUTH)) % 2
    truth = TRUTH.copy()
    truth[:, 3:6] = np.where(group[:, None] == 1, [3.0, 2.4, 0.5], [3.4, 3.0, -1.0])
    image = np.random.default_rng(8).poisson(gaussians(FRAME.shape, truth, 0.5)).astype(np.float32)
    found = fit(image, START, group=group, window=17)
    own = fit(image, START, window=17)
    for g in (0, 1):
        widths = found.parameters[group == g, 3:6]
        assert np.ptp(widths, axis=0).max() == 0
        assert (np.abs(widths[0, :2] - truth[group == g][0, 3:5]) < 4 * found.errors[g, 3:5]).all()
    assert (found.errors[:, 3:5] < own.errors[:, 3:5]).all()


def test_columns_of_seven_electrons_are_not_lost():
    rng = np.random.default_rng(10)
    truth = np.tile([12.0, 12.0, 7 / (2 * np.pi * 9), 3.0, 3.0, 0.0, 0.005], (300, 1))
    truth[:, :2] += rng.uniform(-0.5, 0.5, (300, 2))
    images = np.stack([rng.poisson(gaussians((25, 25), t, 0.005)) for t in truth])
    start = truth.copy()
    start[:, :2] += rng.normal(0, 1.5, (300, 2))
    each, one = np.arange(300), np.zeros(300, np.int64)
    for free_offset in (True, False):
        found = fit(images, start, frame=each, group=one, model="circular", window=21,
                    free_offset=free_offset)  # fmt: skip
        error = np.hypot(*(found.parameters - truth)[:, :2].T)
        assert ((found.state != State.CONVERGED) | (error > 4.5)).mean() < 0.06
        assert (found.parameters[:, 6] >= 0).all()
        # positions fitted to the same counts do not narrow the width
        assert found.parameters[0, 3] == pytest.approx(3.0, abs=0.35)


def test_held_parameters_stay_and_have_no_error():
    found = fit(FRAME, START, free_shape=False, free_offset=False)
    np.testing.assert_allclose(found.parameters[:, 3:], START[:, 3:], rtol=1e-12)
    assert np.isnan(found.errors[:, 3:]).all()
    assert np.isfinite(found.errors[:, :3]).all()


def test_given_variance_sets_the_errors_of_least_squares():
    guessed = fit(FRAME, START, noise="gaussian", **ALONE)
    known = fit(FRAME, START, noise="gaussian", variance=9.0, **ALONE)
    np.testing.assert_array_equal(known.parameters, guessed.parameters)
    spread = guessed.deviance / (guessed.pixels - 7)
    wider = np.sqrt(9.0 / spread)[:, None]
    # an angle's error ends at that of no knowledge
    kept = [0, 1, 2, 3, 4, 6]
    np.testing.assert_allclose(known.errors[:, kept], (guessed.errors * wider)[:, kept])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"window": 14}, "window"),
        ({"model": "round"}, "model"),
        ({"noise": "poisson-gaussian"}, "variance"),
        ({"frame": np.ones(len(START), np.int64)}, "frame"),
        ({"group": np.zeros(3, np.int64)}, "group"),
        ({"noise": "gaussian", "variance": -1.0}, "variance"),
    ],
)
def test_wrong_arguments_are_named(change, word):
    with pytest.raises(ValueError, match=word):
        fit(FRAME, START, **change)


def test_no_fits_are_fine():
    found = fit(FRAME, np.zeros((0, 7)))
    assert found.parameters.shape == (0, 7)
