"""Readable float64 version of ``regions``: one region at a time, from its pixels."""

import itertools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stempede_kernels.regions.contrast import background_level, sample

Mask = NDArray[np.bool_]
Point = tuple[Fraction, Fraction]
Columns = dict[str, Any]


def regions(
    labels: NDArray[np.integer[Any]],
    images: NDArray[Any],
    ring_gap_px: int = 2,
    ring_width_px: int = 4,
) -> dict[str, NDArray[Any]]:
    """Measure (b, y, x) label maps and images as the public function of the same name."""
    free = [part == 0 for part in sample(labels)]
    level, noise = background_level(sample(images.astype(np.float64)), (free[0], free[1]))
    rows = []
    for k, (frame, image) in enumerate(zip(labels, images.astype(np.float64))):
        for label in np.unique(frame[frame > 0]):
            mask = frame == label
            ring = _ring(mask, ring_gap_px, ring_width_px) & (frame == 0)
            around = image[ring].mean() if ring.sum() >= 8 else level[k]
            contrast = (image[mask].mean() - around) / noise[k]
            rows.append({"frame_index": k, "label": label, **measure(mask), "contrast": contrast})
    return {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}


def measure(mask: Mask) -> Columns:
    """Measure one region, a (y, x) mask with at least one pixel."""
    y, x = np.nonzero(mask)
    area = float(len(y))
    box = mask[y.min() : y.max() + 1, x.min() : x.max() + 1]
    moments = _central_moments(y, x)
    major, minor, orientation = _axes(moments)
    hull = convex_hull(edge_middles(mask))
    convex = convex_image(mask, hull)
    feret, feret_angle = _max_feret(convex_hull(edge_middles(convex)))
    perimeter = boundary_length(mask)
    return {
        "first_px": int(np.flatnonzero(mask)[0]),
        "bbox_y0_px": y.min(),
        "bbox_x0_px": x.min(),
        "bbox_y1_px": y.max() + 1,
        "bbox_x1_px": x.max() + 1,
        "touches_edge": mask[0].any() or mask[-1].any() or mask[:, [0, -1]].any(),
        "y_px": y.mean(),
        "x_px": x.mean(),
        "area_px2": area,
        "filled_area_px2": area + hole_area(box),
        "convex_area_px2": float(convex.sum()),
        "bbox_area_px2": float(box.size),
        "perimeter_px": perimeter,
        "perimeter_crofton_px": crofton_perimeter(mask),
        "equivalent_diameter_px": math.sqrt(4 * area / math.pi),
        "major_axis_px": major,
        "minor_axis_px": minor,
        "max_feret_px": feret,
        "max_feret_angle_deg": feret_angle,
        "orientation_deg": orientation,
        "aspect_ratio": _ratio(major, minor),
        "eccentricity": math.sqrt(1 - (minor / major) ** 2) if major else 0.0,
        "circularity": _ratio(4 * math.pi * area, perimeter**2),
        "solidity": area / convex.sum(),
        "extent": area / box.size,
        "euler_number": float(euler_number(mask)),
        "convexity": _ratio(boundary_length(convex), perimeter),
        "roundness": _ratio(4 * area, math.pi * major**2),
        **_hu(moments),
        **_edge_calipers(hull),
        "edge_length_px": edge_length(area, major, minor),
    }


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else math.nan


def _central_moments(y: NDArray[np.intp], x: NDArray[np.intp]) -> Callable[[int, int], float]:
    """Return the function (p, q) → sum of (y - mean)^p (x - mean)^q."""
    dy, dx = y - y.mean(), x - x.mean()
    return lambda p, q: float(np.sum(dy**p * dx**q))


def _axes(moments: Callable[[int, int], float]) -> tuple[float, float, float]:
    """Return major axis, minor axis and direction from the covariance matrix."""
    n = moments(0, 0)
    xx, yx, yy = moments(0, 2) / n, moments(1, 1) / n, moments(2, 0) / n
    small, large = np.maximum(np.linalg.eigvalsh([[xx, yx], [yx, yy]]), 0)
    round_enough = large - small <= 1e-12 * max(large, 1)
    angle = math.nan if round_enough else math.degrees(math.atan2(2 * yx, xx - yy)) / 2
    return 4 * math.sqrt(large), 4 * math.sqrt(small), angle


def _hu(moments: Callable[[int, int], float]) -> dict[str, float]:
    """Return the invariants as Hu (1962) writes them, first axis y."""
    n = moments(0, 0)

    def nu(p: int, q: int) -> float:
        return moments(p, q) / n ** ((p + q) / 2 + 1)

    a, b = nu(3, 0) + nu(1, 2), nu(2, 1) + nu(0, 3)
    c, d = nu(3, 0) - 3 * nu(1, 2), 3 * nu(2, 1) - nu(0, 3)
    e = nu(2, 0) - nu(0, 2)
    return {
        "hu1": nu(2, 0) + nu(0, 2),
        "hu2": e**2 + 4 * nu(1, 1) ** 2,
        "hu3": c**2 + d**2,
        "hu4": a**2 + b**2,
        "hu5": c * a * (a**2 - 3 * b**2) + d * b * (3 * a**2 - b**2),
        "hu6": e * (a**2 - b**2) + 4 * nu(1, 1) * a * b,
        "hu7": d * a * (a**2 - 3 * b**2) - c * b * (3 * a**2 - b**2),
    }


def edge_length(area: float, major: float, minor: float) -> float:
    """Find the superellipse, p >= 2, of this area and second moment; NaN if there is none."""

    def shape(p: float) -> tuple[float, float]:
        """Return area over that of the enclosing rectangle, and second moment over area."""
        g = [math.gamma(k / p) for k in (1, 2, 3, 4)]
        share = g[0] ** 2 / (2 * p * g[1])
        return share, g[2] * g[0] / (4 * p * g[3]) / (4 * share**2)

    ratio = major * minor / 16 / area
    if not 0 < ratio <= 1.05 / 12:
        return math.nan
    low, high = 2.0, 1e5
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if shape(middle)[1] < ratio else (low, middle)
    return math.sqrt(area / shape(low)[0])


def boundary_length(mask: Mask) -> float:
    """Add 1, sqrt 2 or their mean for each boundary pixel, by its boundary neighbours."""
    padded = np.pad(mask, 2)
    edge = padded & ~(
        np.roll(padded, 1, 0) & np.roll(padded, -1, 0)
        & np.roll(padded, 1, 1) & np.roll(padded, -1, 1)
    )  # fmt: skip
    weights = dict.fromkeys((5, 7, 15, 17, 25, 27), 1.0)
    weights |= dict.fromkeys((21, 33), math.sqrt(2))
    weights |= dict.fromkeys((13, 23), (1 + math.sqrt(2)) / 2)
    total = 0.0
    for y, x in np.argwhere(edge):
        beside = sum(edge[y + j, x + i] for j, i in ((0, 1), (1, 0), (0, -1), (-1, 0)))
        across = sum(edge[y + j, x + i] for j, i in itertools.product((-1, 1), repeat=2))
        total += weights.get(1 + 2 * int(beside) + 10 * int(across), 0.0)
    return total


def _windows(mask: Mask) -> Iterator[NDArray[np.int64]]:
    """Yield every 2 x 2 window that may hold a pixel of the region."""
    padded = np.pad(mask, 1).astype(np.int64)
    for y, x in np.ndindex(mask.shape[0] + 1, mask.shape[1] + 1):
        yield padded[y : y + 2, x : x + 2]


def crofton_perimeter(mask: Mask) -> float:
    """Count where lines along four directions enter the region, after Cauchy and Crofton.

    Lines of one direction are 1 px apart along the axes and 1 / sqrt 2 px along the diagonals.
    """
    entries = 0.0
    for (a, b), (c, d) in _windows(mask):
        entries += int(not a and b) + int(not a and c)
        entries += (int(not a and d) + int(not b and c)) / math.sqrt(2)
    return math.pi / 4 * entries


def euler_number(mask: Mask) -> int:
    """Return regions less holes, 8-connected, by counting quads (Gray 1971)."""
    counts = {1: 0, 3: 0, "diagonal": 0}
    for window in _windows(mask):
        diagonal = window.sum() == 2 and window[0, 0] == window[1, 1]
        key = "diagonal" if diagonal else int(window.sum())
        if key in counts:
            counts[key] += 1
    return (counts[1] - counts[3] - 2 * counts["diagonal"]) // 4


def hole_area(box: Mask) -> float:
    """Flood the background from outside, corners included; count what stays dry."""
    padded = np.pad(box, 1)
    wet = np.zeros_like(padded)
    wet[0, 0] = True
    frontier = [(0, 0)]
    while frontier:
        y, x = frontier.pop()
        for j, i in itertools.product((-1, 0, 1), repeat=2):
            a, b = y + j, x + i
            inside = 0 <= a < padded.shape[0] and 0 <= b < padded.shape[1]
            if inside and not padded[a, b] and not wet[a, b]:
                wet[a, b] = True
                frontier.append((a, b))
    return float((~padded & ~wet).sum())


def edge_middles(mask: Mask) -> list[Point]:
    """Return the middles of the edges of all pixels."""
    half, none = Fraction(1, 2), Fraction(0)
    steps = ((-half, none), (half, none), (none, -half), (none, half))
    return [(y + j, x + i) for y, x in np.argwhere(mask).tolist() for j, i in steps]


def _turn(a: Point, b: Point, c: Point) -> Fraction:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def convex_hull(points: list[Point]) -> list[Point]:
    """Return the corners of the hull in order (Andrew 1979), in exact fractions."""
    hull: list[Point] = []
    ordered = sorted(set(points))
    for half in (ordered, ordered[::-1]):
        side: list[Point] = []
        for point in half:
            while len(side) > 1 and _turn(side[-2], side[-1], point) <= 0:
                side.pop()
            side.append(point)
        hull += side[:-1]
    return hull


def convex_image(mask: Mask, hull: list[Point]) -> Mask:
    """Return the pixels whose centre lies in the hull or on it."""
    edges = list(zip(hull, hull[1:] + hull[:1]))
    inside = np.zeros_like(mask)
    for y, x in np.ndindex(mask.shape):
        inside[y, x] = all(_turn(a, b, (Fraction(y), Fraction(x))) >= 0 for a, b in edges)
    return inside


def _line_angle(dy: Fraction, dx: Fraction) -> float:
    angle = math.degrees(math.atan2(dy, dx))
    return angle - 180 if angle > 90 else angle + 180 if angle <= -90 else angle


def _max_feret(hull: list[Point]) -> tuple[float, float]:
    """Return the largest distance of two corners; of ties that with the smallest angle."""
    pairs = [(a[0] - b[0], a[1] - b[1]) for a, b in itertools.combinations(hull, 2)]
    longest = max(dy * dy + dx * dx for dy, dx in pairs)
    return math.sqrt(longest), min(
        _line_angle(dy, dx) for dy, dx in pairs if dy * dy + dx * dx == longest
    )


def _edge_calipers(hull: list[Point]) -> dict[str, float]:
    """Return smallest width and smallest rectangle over all directions of an edge."""
    widths, rectangles = [], []
    for a, b in zip(hull, hull[1:] + hull[:1]):
        dy, dx = b[0] - a[0], b[1] - a[1]
        length = math.hypot(dy, dx)
        along = [y * dy + x * dx for y, x in hull]
        across = [x * dy - y * dx for y, x in hull]
        sides = [(max(s) - min(s)) / length for s in (along, across)]
        widths.append((round(sides[1], 12), _line_angle(dx, -dy)))
        flat = sides[0] >= sides[1] * (1 - 1e-12)
        angle = _line_angle(dy, dx) if flat else _line_angle(dx, -dy)
        area = round(sides[0] * sides[1], 10)
        rectangles.append((area, -round(max(sides), 10), angle, max(sides), min(sides)))
    width, rectangle = min(widths), min(rectangles)
    return {
        "min_feret_px": width[0],
        "min_feret_angle_deg": width[1],
        "min_rect_length_px": rectangle[3],
        "min_rect_width_px": rectangle[4],
        "min_rect_angle_deg": rectangle[2],
    }


def _ring(mask: Mask, gap: int, width: int) -> Mask:
    """Return the pixels at square distance above gap and up to gap + width."""
    near, far = np.zeros_like(mask), np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        near[max(0, y - gap) : y + gap + 1, max(0, x - gap) : x + gap + 1] = True
        reach = gap + width
        far[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1] = True
    return far & ~near
