"""The equations of the Gaussian fits: derivatives, moments, and CPU against the reference."""

import numpy as np
import pytest
from gaussian_frames import lattice
from hypothesis import given, settings
from hypothesis import strategies as st

from stempede_kernels.gaussian_fit import cpu, reference, to_theta
from stempede_kernels.gaussian_fit.moments import deviance, gather, moments, own_deviance, rate
from stempede_kernels.gaussian_fit.plan import Rule, Task, answer
from stempede_kernels.gaussian_fit.system import assemble, system
from stempede_kernels.gaussian_fit.window import cut, draw, scratch

FRAME = np.random.default_rng(4).poisson(5, (23, 27)).astype(np.float32)
MIDDLE = np.array([9.0, 12.0])


def theta_of(y, x, amplitude, major, minor, angle, offset, slopes=(0.0, 0.0)):
    theta = to_theta(np.array([[y, x, amplitude, major, minor, angle, offset]]), 3)[0]
    theta[7:] = slopes
    return theta


def prepare(theta, poisson, window=13):
    """Compiled side: everything a step needs, for one window of the frame."""
    s, m, e = scratch(window), moments(), system()
    box = cut(FRAME, int(MIDDLE[0]), int(MIDDLE[1]), window, s)
    own = own_deviance(box, s) if poisson else 0.0
    draw(theta, box, s)
    rate(theta, MIDDLE, box, s, 1e-6)
    dev = deviance(box, s, poisson, own)
    gather(theta, box, s, poisson, True, m)
    assemble(theta, MIDDLE, m, 3, e)
    return dev, e.full.copy(), e.gradient.copy()


thetas = st.builds(
    theta_of,
    st.floats(6, 12),
    st.floats(9, 15),
    st.floats(5, 300),
    st.floats(1.5, 4),
    st.floats(0.8, 3),
    st.floats(-1.5, 1.5),
    st.floats(2, 20),
    st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1)),
)


@settings(max_examples=40, deadline=None)
@given(thetas)
def test_reference_derivatives_match_finite_differences(theta):
    y, x = (a.ravel().astype(float) for a in np.mgrid[3:16, 6:19])
    w = reference.Window(y, x, y, 0 * y, MIDDLE, poisson=True, floor=0.0)
    by = reference.derivatives(theta, w, circular=False)
    for p in range(9):
        h = 1e-5 * max(1.0, abs(theta[p])) if p not in (3, 4, 5) else 1e-6
        above, below = theta.copy(), theta.copy()
        above[p] += h
        below[p] -= h
        slope = (reference.model(above, w) - reference.model(below, w)) / (2 * h)
        np.testing.assert_allclose(by[:, p], slope, atol=1e-5 * max(1, np.abs(slope).max()))


@pytest.mark.parametrize("poisson", [True, False])
@settings(max_examples=40, deadline=None)
@given(theta=thetas)
def test_compiled_equations_equal_the_reference(theta, poisson):
    y, x = (a.ravel().astype(float) for a in np.mgrid[3:16, 6:19])
    data = FRAME[3:16, 6:19].ravel().astype(float)
    w = reference.Window(y, x, data, 0 * y, MIDDLE, poisson, 1e-6 if poisson else -np.inf)
    dev, full, gradient = prepare(theta, poisson)
    if not poisson and reference.model(theta, w).min() < 1e-5:
        return
    expected, slope = reference.equations(theta, w, 3)
    size = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(full / size, expected / size, atol=1e-9)
    np.testing.assert_allclose(gradient, slope, atol=1e-8 * np.sqrt(np.diag(expected)).max() * 30)
    assert dev == pytest.approx(reference.deviance(theta, w), rel=1e-11)


def test_gradient_is_the_slope_of_the_deviance():
    theta = theta_of(9.3, 12.4, 30, 3, 2, 0.6, 4, (0.02, -0.01))
    for poisson in (True, False):
        _, _, gradient = prepare(theta, poisson)
        for p in range(9):
            h = 1e-6 * max(1.0, abs(theta[p])) if p not in (3, 4, 5) else 1e-7
            above, below = theta.copy(), theta.copy()
            above[p] += h
            below[p] -= h
            slope = (prepare(above, poisson)[0] - prepare(below, poisson)[0]) / (2 * h)
            assert -2 * gradient[p] == pytest.approx(slope, rel=1e-4, abs=1e-2)


def test_a_steep_slanted_gaussian_neither_overflows_nor_vanishes():
    theta = theta_of(20, 20, 1, 40, 0.3, np.pi / 4, 0)
    window = 41
    s = scratch(window)
    box = cut(np.zeros((41, 41), np.float32), 20, 20, window, s)
    draw(theta, box, s)
    found = s.bell[: 41 * box.stride].reshape(41, box.stride)[:, :41]
    y, x = np.mgrid[:41, :41].astype(float)
    np.testing.assert_allclose(found, reference.bell(theta, y, x), atol=1e-12)


@pytest.mark.parametrize("offset", [True, False], ids=["offset free", "offset held"])
@pytest.mark.parametrize("plane", [False, True], ids=["constant", "plane"])
@pytest.mark.parametrize("variance", [None, 0.0, 3.0], ids=["squares", "poisson", "read noise"])
@pytest.mark.parametrize("kind", [0, 1, 2, 3], ids=["held", "circular", "upright", "rotated"])
def test_cpu_equals_the_reference(kind, variance, plane, offset):
    frame, truth, start = lattice(2, 2, spacing=14)
    frame[int(truth[0, 0]), int(truth[0, 1]) + 1] = np.nan
    theta, n = to_theta(start, kind or 3), len(start)
    first, beside = np.array([0, 2, 3, 4, 4]), np.array([1, 2, 0, 3])
    noise = np.array([np.nan if variance is None else variance])
    task = Task(
        np.arange(n), np.zeros(n, int), np.rint(start[:, :2]), first, beside, theta, noise,
        np.zeros((n, 3, 3)),
    )  # fmt: skip
    rule = Rule(13, kind, 0, variance is not None, offset, plane, 1e-4, 50, 0.1)
    ours, plain = answer(theta), answer(theta)
    cpu.fit(frame[None], task, rule, ours)
    reference.fit(frame[None], task, rule, plain)
    np.testing.assert_array_equal(ours.state, plain.state)
    np.testing.assert_array_equal(ours.iterations, plain.iterations)
    assert (ours.state == 1).all()
    np.testing.assert_allclose(ours.theta, plain.theta, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(ours.errors, plain.errors, rtol=1e-5)
    np.testing.assert_allclose(ours.results, plain.results, rtol=1e-5, atol=1e-9)
