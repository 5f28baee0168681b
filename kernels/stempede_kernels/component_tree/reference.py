"""Sharpest disjoint regions of one frame, level by level and region by region."""

import numpy as np
from numpy.typing import NDArray

Pixels = frozenset[tuple[int, int]]


def sharp_regions(  # noqa: PLR0917
    levels: NDArray[np.uint16],
    strength: NDArray[np.float64],
    floor: float,
    share: float = 0.0,
    min_area: int = 1,
    max_area: int | None = None,
    max_thickness: float = 0.0,
    doubt: float = 1.0,
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Select regions of a frame ``(y, x)``; the same meaning as the kernel, in plain steps."""
    bounds = (min_area, levels.size if max_area is None else max_area, max_thickness, doubt)
    chosen = _best(levels, strength, floor, bounds)
    if share > 0 and chosen:
        rows = [_outline(levels, strength, region) for region in chosen]
        rank = sorted((total / length, total - floor * length) for length, total in rows)
        gained = np.cumsum([gain for _, gain in rank])
        typical = rank[int(np.searchsorted(gained, gained[-1] / 2))][0]
        if share * typical > floor:
            chosen = _best(levels, strength, share * typical, bounds)
    chosen.sort(key=min)
    labels = np.zeros(levels.shape, np.int32)
    table = np.zeros((len(chosen), 3))
    for k, region in enumerate(chosen):
        labels[tuple(np.array(sorted(region)).T)] = k + 1
        table[k] = (len(region), *_outline(levels, strength, region))
    return labels, table


def _best(
    levels: NDArray[np.uint16],
    strength: NDArray[np.float64],
    floor: float,
    bounds: tuple[int, int, float, float],
) -> list[Pixels]:
    """Walk from the highest level down, keeping the best choice inside each region."""
    inside: dict[Pixels, tuple[float, list[Pixels]]] = {}
    for level in sorted(set(levels.ravel().tolist()), reverse=True):
        below: dict[Pixels, tuple[float, list[Pixels]]] = {}
        for region in _regions(levels >= level):
            parts = [inside[part] for part in inside if part <= region]
            gain, choice = sum(p[0] for p in parts), [r for p in parts for r in p[1]]
            if not any(part == region for part in inside) and len(region) < levels.size:
                length, total = _outline(levels, strength, region)
                fits = len(region) <= bounds[1] or 2 * len(region) <= bounds[2] * length
                own = total - floor * length
                if len(region) > bounds[1] or _at_rim(region, levels.shape):
                    own *= bounds[3]
                if len(region) >= bounds[0] and fits and own > 0 and own >= gain:
                    gain, choice = own, [region]
            below[region] = (gain, choice)
        inside = below
    return [region for _, choice in inside.values() for region in choice]


def _regions(mask: NDArray[np.bool_]) -> list[Pixels]:
    """Connected regions by their edges."""
    left = set(map(tuple, np.argwhere(mask).tolist()))
    regions = []
    while left:
        todo, region = [left.pop()], set()
        while todo:
            y, x = todo.pop()
            region.add((y, x))
            for near in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if near in left:
                    left.remove(near)
                    todo.append(near)
        regions.append(frozenset(region))
    return regions


def _at_rim(region: Pixels, shape: tuple[int, ...]) -> bool:
    """Whether a pixel lies on the rim of the frame."""
    return any(y in (0, shape[0] - 1) or x in (0, shape[1] - 1) for y, x in region)


def _outline(
    levels: NDArray[np.uint16], strength: NDArray[np.float64], region: Pixels
) -> tuple[int, float]:
    """Cracks between the region and the rest of the frame, and the strength along them."""
    h, w = levels.shape
    length, total = 0, 0.0
    for y, x in region:
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= v < h and 0 <= u < w and (v, u) not in region:
                length += 1
                total += 0.5 * (float(strength[y, x]) + float(strength[v, u]))
    return length, total
