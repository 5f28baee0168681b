"""Second look: weak columns are looked for where their neighbours say that they should stand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from stempede.columns.climb import fit
from stempede.columns.evidence import gains
from stempede.columns.joint import State, System
from stempede.columns.local_lattice import Known, Predicted, predict
from stempede.columns.search import Places, search
from stempede.columns.sites import Sites

_WEAK = 7.0
"""Significance from which the likelihood has one maximum only."""

_NEARLY = 1.5
"""Places of which the coarse search says this much less log-likelihood are tried too."""

_CLOSE = 0.45
"""Two columns nearer than this, in distances of columns, are one seen twice."""


@dataclass(frozen=True)
class Look:
    """A fit, what each column adds to it, and where neighbours put the weak ones.

    Parameters
    ----------
    system : System
    gain : (n,) float64 array
        Log-likelihood gained by each column.
    seen : (n,) bool array
    """

    system: System
    gain: np.ndarray
    seen: np.ndarray


def look(system: System, sites: Sites, least: float) -> Look:
    """Return which columns of a fit are seen: significant, in bounds and seen once."""
    gain = gains(system)
    state = system.state
    far = np.hypot(state.y - system.problem.centre_y, state.x - system.problem.centre_x)
    inside = far < 0.999 * system.problem.radius_px
    seen = (gain > 0.5 * least**2) & inside & ~system.problem.held
    return Look(system, gain, seen & ~_doubles(state, gain, _CLOSE * sites.spacing_px))


def second_look(first: Look, sites: Sites, least: float) -> Look:
    """Try other places for weak columns, and keep each where it makes the frame likelier."""
    weak = ~first.seen | (first.gain < 0.5 * _WEAK**2)
    weak &= sites.on_lattice & ~first.system.problem.held
    if not weak.any():
        return first
    which = np.flatnonzero(weak)
    predicted, places = _places(first, sites, weak)
    state = first.system.state
    apart = np.hypot(places.y - state.y[which], places.x - state.x[which])
    sigma = state.shape.sigma_px[first.system.problem.species[which]]
    tried = (places.gain > first.gain[which] - _NEARLY) & (apart > 0.7 * sigma)
    tried |= ~first.seen[which] & (places.gain > first.gain[which])
    if not tried.any():
        return first
    moved = which[tried]
    problem = first.system.problem
    centre_y, centre_x = problem.centre_y.copy(), problem.centre_x.copy()
    centre_y[moved] = np.where(np.isfinite(predicted.y), predicted.y, centre_y)[moved]
    centre_x[moved] = np.where(np.isfinite(predicted.x), predicted.x, centre_x)[moved]
    problem = replace(problem, centre_y=centre_y, centre_x=centre_x)
    start = _placed(state, moved, places.y[tried], places.x[tried], places.intensity[tried])
    other = look(fit(problem, start, rounds=2), sites, least)
    worse = moved[other.gain[moved] < first.gain[moved]]
    if not len(worse):
        return other
    back = _placed(
        other.system.state, worse, state.y[worse], state.x[worse], state.intensity[worse]
    )
    centre_y[worse] = first.system.problem.centre_y[worse]
    centre_x[worse] = first.system.problem.centre_x[worse]
    problem = replace(problem, centre_y=centre_y, centre_x=centre_x)
    return look(fit(problem, back, rounds=1), sites, least)


def presence(last: Look, sites: Sites, which: np.ndarray) -> np.ndarray:
    """Return (n,) log Bayes factors of a column at the sites of ``which``; 0 elsewhere."""
    found = np.zeros(len(sites))
    if which.any():
        found[which] = _places(last, sites, which)[1].presence
    return found


def neighbours_say(last: Look, sites: Sites, which: np.ndarray, yx: np.ndarray) -> Predicted:
    """Return where neighbours put the sites of ``which``, columns standing at ``yx``."""
    information = last.system.normal().position_information()
    variance = 1 / np.maximum(information, 1e-12)
    strength = last.system.state.intensity / typical(last, sites)
    ij = np.column_stack([sites.i, sites.j])
    return predict(Known(sites.crystal, ij, yx, variance, strength, last.seen, which))


def typical(last: Look, sites: Sites) -> np.ndarray:
    """Return (n,) the median intensity of each column's species among those seen."""
    intensity = last.system.state.intensity
    found = np.full(int(sites.kind.max(initial=0)) + 1, np.nan)
    for k in range(len(found)):
        own = last.seen & (sites.kind == k) & sites.on_lattice
        if own.sum() >= 3:
            found[k] = np.median(intensity[own])
    known = last.seen if last.seen.any() else np.ones(len(intensity), bool)
    scale = np.median(intensity[known] / sites.brightness[known])
    nominal = scale * sites.brightness
    return np.maximum(np.where(np.isfinite(found[sites.kind]), found[sites.kind], nominal), 1e-9)


def _places(last: Look, sites: Sites, which: np.ndarray) -> tuple[Predicted, Places]:
    system = last.system
    yx = np.column_stack([system.state.y, system.state.x])
    predicted = neighbours_say(last, sites, which, yx)
    index = np.flatnonzero(which)
    ratio = np.nan_to_num(predicted.ratio[index], nan=1.0)
    expected = typical(last, sites)[index] * np.clip(ratio, 0.2, 3)
    centre = [
        np.where(np.isfinite(there), there, start)[index]
        for there, start in (
            (predicted.y, system.problem.centre_y),
            (predicted.x, system.problem.centre_x),
        )
    ]
    radius = system.problem.radius_px
    return predicted, search(system, index, centre[0], centre[1], expected, radius)


def _placed(
    state: State, which: np.ndarray, y: np.ndarray, x: np.ndarray, intensity: np.ndarray
) -> State:
    new = [a.copy() for a in (state.y, state.x, state.intensity)]
    for values, other in zip(new, (y, x, intensity), strict=True):
        values[which] = other
    return replace(state, y=new[0], x=new[1], intensity=new[2])


def _doubles(state: State, gain: np.ndarray, apart_px: float) -> np.ndarray:
    """Return which columns stand on a stronger one."""
    double = np.zeros(len(gain), bool)
    points = np.stack([state.y, state.x], axis=1)
    for one, other in cKDTree(points).query_pairs(apart_px):
        double[one if gain[one] < gain[other] else other] = True
    return double
