"""Drift: the path of a specimen through a series, chosen among what each scan allows.

A periodic specimen fits itself again one lattice vector on. Which of these shifts is meant is
decided by all scans together: the sum of their log-likelihoods and of what is known of drift,
that it moves the specimen a few pixels between scans. A stage that did jump is followed where
the scans leave no doubt, since no step costs more than ``JUMP``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stempede.backend import Backend

JUMP = 40.0
"""Negative log-probability of a jump to anywhere."""

CANDIDATES = 12
NEAREST = 4
SLACK = 0.5
"""A shift is a candidate for being near if it has this share of the best gain."""


def penalty(step_px: Any, drift_px: float, xp: Any = np) -> Any:
    """Return the negative log-probability of steps between two scans.

    Parameters
    ----------
    step_px : (..., 2) array
    drift_px : float
        Typical length of a step.
    """
    return xp.minimum((step_px**2).sum(-1) / (2 * drift_px**2), JUMP)


def candidates(
    surface: Any, room: tuple[int, int], near: np.ndarray, apart_px: int, backend: Backend
) -> tuple[np.ndarray, np.ndarray]:
    """Return the shifts at which a scan fits best, and those nearest to where it is awaited.

    Parameters
    ----------
    surface : (2 ry + 1, 2 rx + 1) array
        Log-likelihood by shift.
    room : (int, int)
        Shift of the last row and column.
    near : (2,) array
        Shift that is awaited.
    apart_px : int
        Least distance between two of them.

    Returns
    -------
    shifts : (m, 2) int64 array
        The one nearest to ``near`` first.
    rises : (m,) float64 array
        How much higher the surface is between the whole shifts there.
    """
    xp = backend.xp
    peak = backend.ndimage.maximum_filter(surface, 2 * apart_px + 1, mode="nearest")
    at = xp.argwhere((surface == peak) & (surface > surface.min()))
    gains = backend.download(surface[at[:, 0], at[:, 1]], "preprocess.align")
    shifts = backend.download(at, "preprocess.align").astype(np.int64) - np.array(room)
    by_gain = np.argsort(-gains, kind="stable")[:CANDIDATES]
    by_distance = np.argsort(((shifts - near) ** 2).sum(1), kind="stable")
    # what fits much worse, though near, is a dip in noise between two peaks
    good = gains[by_distance] > gains.max() - SLACK * abs(gains.max())
    by_distance = by_distance[good][:NEAREST]
    chosen = shifts[list(dict.fromkeys([*by_distance.tolist(), *by_gain.tolist()]))]
    return chosen, _rises(surface, chosen + np.array(room), backend)


def _rises(surface: Any, at: np.ndarray, backend: Backend) -> np.ndarray:
    xp = backend.xp
    d = np.arange(-1, 2)
    y = np.clip(at[:, 0, None, None] + d[:, None], 0, surface.shape[0] - 1)
    x = np.clip(at[:, 1, None, None] + d, 0, surface.shape[1] - 1)
    nine = backend.download(surface[xp.asarray(y), xp.asarray(x)], "preprocess.align")
    rises = np.zeros(len(at))
    for k, values in enumerate(nine.astype(np.float64)):
        step, curvature = parabola(values)
        if step is not None:
            rises[k] = 0.5 * step @ curvature @ step
    return rises


def parabola(nine: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the top of the least-squares parabola through 3 x 3 values, and its curvature."""
    d = np.array([-1.0, 0.0, 1.0])
    slope = np.array([(nine * d[:, None]).sum() / 6, (nine * d).sum() / 6])
    bend = np.array([1.0, -2.0, 1.0]) / 3
    yy, xx = (nine * bend[:, None]).sum(), (nine * bend).sum()
    yx = (nine * np.outer(d, d)).sum() / 4
    curvature = -np.array([[yy, yx], [yx, xx]])
    if np.linalg.eigvalsh(curvature)[0] <= 0:
        return None, curvature
    return np.clip(np.linalg.solve(curvature, slope), -1, 1), curvature


def best_path(
    shifts: list[np.ndarray], gains: list[np.ndarray], drift_px: float, steps: list[int]
) -> np.ndarray:
    """Return the path of greatest posterior probability through the candidates.

    Parameters
    ----------
    shifts : list of (m, 2) arrays
        Candidates of each scan in order.
    gains : list of (m,) arrays
        Their log-likelihoods.
    drift_px : float
        Typical step between consecutive scans.
    steps : list of int
        Scans from the one before to each; more than one where scans between are missing.

    Returns
    -------
    (k, 2) array
    """
    total, back = gains[0], []
    for before, here, gain, n in zip(shifts, shifts[1:], gains[1:], steps[1:]):
        cost = penalty(here[:, None] - before[None], drift_px * np.sqrt(n))
        reached = total[None] - cost
        back.append(reached.argmax(1))
        total = gain + reached.max(1)
    which = [int(total.argmax())]
    for pointers in reversed(back):
        which.append(int(pointers[which[-1]]))
    return np.stack([s[k] for s, k in zip(shifts, reversed(which))])
