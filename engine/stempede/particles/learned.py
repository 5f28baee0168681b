"""Learned: regions by a network that says what is a particle and how deep each pixel lies in it.

A frame is resampled so that its typical particle has the size that the network knows, looked
at in tiles that overlap, and cut into particles by a watershed on the distances. The outline
is where the probability falls below a threshold, or, refined, where the image itself is steep.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stempede.backend import Backend
from stempede.errors import ModelError
from stempede.inference import Card, Network, standardised
from stempede.particles.outlines import View, shrink, smoothing
from stempede.particles.windows import stretch
from stempede_kernels.label import renumber
from stempede_kernels.maxima import label_h_maxima
from stempede_kernels.pieces import whole_pieces
from stempede_kernels.smooth import gaussian
from stempede_kernels.watershed import watershed

KIND = "unet"

TILE_PX, OVERLAP_PX = 1024, 160
# beside a cut, what the network says rests on what it does not see
_UNSURE_PX = 64
# a network that halves its image four times gives the same answer only if tiles keep step
_STEP_PX = 16
_MOST_LOOKS = 3
LEAST_REFINED = 3
"""Pixels averaged from which on outlines are worth drawing anew at full resolution."""

# in looked-at pixels: a disc of a fifth of the diameter that a network looks at; finer is grain
_SMALLEST_PX = 30
_ENLARGED = 2


@dataclass(frozen=True)
class Cuts:
    """When a region is a particle, and when it is several.

    Parameters
    ----------
    threshold : float
        Probability from which a pixel belongs to a particle.
    depth : float
        A neck is cut where the distance falls by this share of the smaller part's greatest.
    least : float
        And by this many pixels of the resampled frame at least.
    """

    threshold: float = 0.75
    depth: float = 0.18
    least: float = 0.75


@dataclass(frozen=True)
class Look:
    """What a network says of one frame at one scale.

    Parameters
    ----------
    factor : float
        Frame pixels to one of these: a whole number, or a half where it was enlarged.
    probability, distance : (y, x) float32 arrays
        Of the resampled frame.
    labels : (y, x) int32 array
        Particles, 1 ... n.
    diameter_px : float
        Typical diameter, frame pixels; NaN where there are no particles.
    """

    factor: float
    probability: Any
    distance: Any
    labels: Any
    diameter_px: float = np.nan


def look(network: Network, image: Any, valid: Any, diameter_px: float, cuts: Cuts) -> Look:
    """Return what the network says of a (y, x) frame, at the scale that suits it.

    Parameters
    ----------
    network : Network
        Of kind ``unet``.
    image : (y, x) float32 array
        Particles bright.
    valid : (y, x) bool array
    diameter_px : float
        What is known of the typical diameter; NaN if nothing: then as the network finds it,
        and again, as long as it finds larger ones.
    cuts : Cuts
    """
    wanted = model_diameter(network.card)
    factor = factor_for(diameter_px, wanted)
    found = look_at(network, image, valid, factor, cuts)
    if np.isfinite(diameter_px):
        return found
    for _ in range(_MOST_LOOKS - 1):
        better = factor_for(found.diameter_px, wanted)
        # finer and finer looks would end at the grain of the film
        if better <= factor:
            break
        factor = better
        found = look_at(network, image, valid, factor, cuts)
    return found


def look_at(network: Network, image: Any, valid: Any, factor: float, cuts: Cuts) -> Look:
    """Return what the network says of a (y, x) frame, one in ``factor`` pixels looked at."""
    backend = network.backend
    xp = backend.xp
    seen, known = resampled(image, valid, factor, backend)
    answer = in_tiles(network, standardised(seen, known, xp))
    answer["probability"] *= known
    return looked(answer, factor, cuts, xp)


def looked(answer: Mapping[str, Any], factor: float, cuts: Cuts, xp: Any = np) -> Look:
    """Cut a network's answer to a resampled frame into particles."""
    labels = part(answer["probability"], answer["distance"], cuts, xp)
    diameter_px = factor * typical_diameter_of(labels, xp)
    return Look(factor, answer["probability"], answer["distance"], labels, diameter_px)


def typical_diameter_of(labels: Any, xp: Any = np) -> float:
    """Return the diameter such that half of what (y, x) labels cover lies in smaller particles.

    NaN where there are none.
    """
    ranked = xp.sort(xp.bincount(labels.ravel())[1:])
    covered = xp.cumsum(ranked)
    if not len(ranked) or not covered[-1]:
        return float("nan")
    typical = int(ranked[int(xp.sum(covered < covered[-1] / 2))])
    return float(2 * np.sqrt(typical / np.pi))


def model_diameter(card: Card) -> float:
    """Return the diameter in pixels that a network's particles have best.

    Raises
    ------
    ModelError
        If its card does not say so.
    """
    found = card.text.get("particle_px")
    if not isinstance(found, int | float) or found <= 0:
        raise ModelError(
            f"the card of network '{card.name}' names no particle_px, the diameter its particles "
            "have; train again"
        )
    return float(found)


def factor_for(diameter_px: float, wanted_px: float) -> float:
    """Return how many pixels to average so that particles get a size; a half enlarges twice.

    Enlarged are only those that would still be smaller: the grain of the film grows with them.

    Examples
    --------
    >>> factor_for(100.0, 24.0), factor_for(10.0, 24.0), factor_for(float("nan"), 24.0)
    (4.0, 0.5, 1.0)
    """
    if not np.isfinite(diameter_px):
        return 1.0
    ratio = diameter_px / wanted_px
    return 1 / _ENLARGED if ratio < 1 / _ENLARGED else float(max(1, round(ratio)))


def resampled(image: Any, valid: Any, factor: float, backend: Backend) -> tuple[Any, Any]:
    """Return a (y, x) frame, and where it is valid, in blocks of ``factor`` pixels."""
    if factor == 1:
        return image, valid
    if factor < 1:
        larger = backend.ndimage.zoom(image, _ENLARGED, order=1, mode="nearest", grid_mode=True)
        return larger, valid.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1)
    xp, k = backend.xp, int(factor)
    share = shrink(valid.astype(xp.float32), k, xp)
    return shrink(image, k, xp), share > 0.99


def labels_resampled(labels: np.ndarray, factor: float) -> np.ndarray:
    """Return (y, x) labels on the grid of ``resampled``: those in the middle of each block."""
    if factor < 1:
        return labels.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1)
    k = int(factor)
    shape = tuple(-(-side // k) for side in labels.shape)
    more = [(0, n * k - side) for n, side in zip(shape, labels.shape)]
    return np.pad(labels, more, mode="edge")[k // 2 :: k, k // 2 :: k]


def in_tiles(
    network: Network, image: Any, tile_px: int = TILE_PX, overlap_px: int = OVERLAP_PX
) -> dict[str, Any]:
    """Return a network's answers to a (y, x) image, run in overlapping tiles and blended.

    Parameters
    ----------
    network : Network
    image : (y, x) float32 array
    tile_px, overlap_px : int
        Multiples of 16. An image no larger than a tile is run at once.

    Returns
    -------
    dict of str to (y, x) float32 array
    """
    xp = network.backend.xp
    rows, columns = (_starts(side, tile_px, overlap_px) for side in image.shape)
    places = [
        (slice(y, y + tile_px), slice(x, x + tile_px)) for y in rows.tolist() for x in columns
    ]
    if len(places) == 1:
        return {name: value[0] for name, value in network(image[None]).items()}
    padded = xp.pad(image, [(0, -side % _STEP_PX) for side in image.shape], mode="edge")
    answers = network(xp.stack([padded[place] for place in places]))
    ramps = [_ramp(s, tile_px, n, overlap_px) for s, n in zip((rows, columns), padded.shape)]
    weights = [np.outer(a, b) for a in ramps[0] for b in ramps[1]]
    total = xp.zeros(padded.shape, xp.float32)
    sums = {name: xp.zeros(padded.shape, xp.float32) for name in answers}
    for k, place in enumerate(places):
        weight = xp.asarray(weights[k], dtype=xp.float32)
        total[place] += weight
        for name, value in answers.items():
            sums[name][place] += weight * value[k]
    h, w = image.shape
    return {name: (value / total)[:h, :w] for name, value in sums.items()}


def _starts(side: int, tile: int, overlap: int) -> np.ndarray:
    """Return where tiles begin that cover a side, in step with the network."""
    whole = side + -side % _STEP_PX
    if whole <= tile:
        return np.zeros(1, int)
    n = -(-(whole - overlap) // (tile - overlap))
    starts = np.linspace(0, whole - tile, n)
    found: np.ndarray = (np.round(starts / _STEP_PX) * _STEP_PX).astype(int)
    return found


def _ramp(starts: np.ndarray, tile: int, side: int, overlap: int) -> list[np.ndarray]:
    """Return each tile's weights along one side: 0 beside a cut, rising to 1 inside."""
    unsure = min(_UNSURE_PX, overlap // 2 - _STEP_PX // 2)
    at = np.arange(min(tile, side)) + 0.5
    rise = max(1, overlap - 2 * unsure)
    found = []
    for start in starts.tolist():
        low = np.inf if start == 0 else (at - unsure) / rise
        high = np.inf if start + tile >= side else (tile - at - unsure) / rise
        # no pixel is without any weight
        found.append(np.clip(np.minimum(low, high) * np.ones(len(at)), 1e-6, 1.0))
    return found


def part(probability: Any, depth_px: Any, cuts: Cuts, xp: Any = np) -> Any:
    """Return (y, x) int32 labels of particles: basins of the distance within the mask.

    Parameters
    ----------
    probability, depth_px : (y, x) float32 arrays
        What the network says.
    cuts : Cuts
    """
    mask = probability >= np.float32(cuts.threshold)
    if not mask.any():
        return xp.zeros(mask.shape, np.int32)
    depth_px = xp.where(mask, depth_px, 0).astype(np.float32)
    markers, _ = label_h_maxima(depth_px, cuts.least, mask, h_relative=cuts.depth)
    basins = watershed(-depth_px, markers, mask)
    areas = xp.bincount(basins.ravel())
    areas[0] = 0
    large = xp.where(areas >= _SMALLEST_PX, xp.arange(len(areas)), 0).astype(np.int32)
    return renumber(whole_pieces(large[basins]))[0]


def at_full_size(found: Look, image: Any, valid: Any, threshold: float, backend: Backend) -> Any:
    """Return (y, x) int32 labels of the frame itself, cut where the probability says."""
    xp = backend.xp
    labels, shape = found.labels, image.shape
    if found.factor < 1:
        return labels[::_ENLARGED, ::_ENLARGED] * valid
    if found.factor > 1:
        k = int(found.factor)
        grown = _grown(labels, backend)
        wide = grown.repeat(k, axis=0).repeat(k, axis=1)[: shape[0], : shape[1]]
        return wide * (full_probability(found, shape, xp) >= xp.float32(threshold)) * valid
    return labels * valid


def view_of(found: Look, image: Any, xp: Any = np) -> View:
    """Return what was found as a view of the (y, x) frame, for outlines at full resolution."""
    k = int(found.factor)
    smooth = gaussian(shrink(image, k, xp), smoothing(k), truncate=3)
    return View(k, smooth, found.labels, np.zeros((0, 3)))


def full_probability(found: Look, shape: tuple[int, int], xp: Any = np) -> Any:
    """Return the (y, x) probability at the frame's own pixels."""
    if found.factor < 1:
        return shrink(found.probability, _ENLARGED, xp)[: shape[0], : shape[1]]
    k = int(found.factor)
    if k == 1:
        return found.probability
    return stretch(found.probability, (k, k), shape, xp).astype(xp.float32)


def _grown(labels: Any, backend: Backend) -> Any:
    """Return labels grown by one pixel over the background."""
    return backend.xp.where(labels > 0, labels, backend.ndimage.maximum_filter(labels, 3))
