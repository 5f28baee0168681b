"""From sums to features: array operations over all regions at once."""

import math

import numpy as np
from numpy.typing import NDArray

from stempede_kernels.regions.sums import Floats, Ints, Runs, Sums, box_middle

# perimeter from four directions (Crofton), per configuration of 2 x 2 pixels
_R = 1 / math.sqrt(2)
CROFTON = (math.pi / 4) * np.array(
    [0, 1 + _R, _R, 2 * _R, 0, 1 + _R, 0, _R, 1, 2, _R, _R, 1, 2, 0, 0]
)
# Euler number of 8-connected regions, per configuration
EULER = np.array([0.0, 0, 0, 0, 0, 0, -1, 0, 1, 0, 0, 0, 0, 0, -1, 0])
# length of a boundary pixel by class
STEPS = np.array([1, math.sqrt(2), (1 + math.sqrt(2)) / 2])

_SQUARE_MOMENT = 1 / 12
_SQUARE_TOLERANCE = 1.05


def features(runs: Runs, sums: Sums, shape: tuple[int, int]) -> dict[str, NDArray[np.generic]]:
    """Return the columns of all regions but contrast, in px and degrees.

    Parameters
    ----------
    runs, sums
        Of n regions.
    shape : (int, int)
        Height and width of the frames.
    """
    moments = central_moments(sums.moments)
    area = moments["n"]
    major, minor, orientation = axes(moments)
    perimeter = weigh(sums.steps, STEPS)
    y0, x0, y1, x1 = runs.box.T
    box_area = (y1 - y0) * (x1 - x0)
    middle = box_middle(runs.box)
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = {
            "y_px": middle[:, 0] + sums.moments[:, 1] / area,
            "x_px": middle[:, 1] + sums.moments[:, 2] / area,
            "area_px2": area,
            "filled_area_px2": sums.areas[:, 0].astype(np.float64),
            "convex_area_px2": sums.areas[:, 1].astype(np.float64),
            "bbox_area_px2": box_area.astype(np.float64),
            "perimeter_px": perimeter,
            "perimeter_crofton_px": weigh(sums.windows, CROFTON),
            "equivalent_diameter_px": np.sqrt(4 * area / np.pi),
            "major_axis_px": major,
            "minor_axis_px": minor,
            "max_feret_px": sums.calipers[:, 0],
            "min_feret_px": sums.calipers[:, 2],
            "orientation_deg": orientation,
            "max_feret_angle_deg": sums.calipers[:, 1],
            "min_feret_angle_deg": sums.calipers[:, 3],
            "aspect_ratio": defined(major / minor),
            "eccentricity": np.where(major > 0, np.sqrt(1 - (minor / major) ** 2), 0.0),
            "circularity": defined(4 * np.pi * area / perimeter**2),
            "solidity": area / sums.areas[:, 1],
            "extent": area / box_area,
            "euler_number": weigh(sums.windows, EULER),
            "convexity": defined(weigh(sums.hull_steps, STEPS) / perimeter),
            "roundness": defined(4 * area / (np.pi * major**2)),
            **hu_moments(moments),
            "min_rect_length_px": sums.calipers[:, 4],
            "min_rect_width_px": sums.calipers[:, 5],
            "min_rect_angle_deg": sums.calipers[:, 6],
            "edge_length_px": edge_length(area, major, minor),
        }
    identity = {
        "frame_index": runs.frame,
        "label": runs.label,
        "first_px": y0 * shape[1] + runs.starts[runs.begin[:-1]],
        "bbox_y0_px": y0,
        "bbox_x0_px": x0,
        "bbox_y1_px": y1,
        "bbox_x1_px": x1,
        "touches_edge": (y0 == 0) | (x0 == 0) | (y1 == shape[0]) | (x1 == shape[1]),
    }
    return {**identity, **columns}


def weigh(counts: Ints, weights: Floats) -> Floats:
    """Return the weighted sum of each row.

    A matrix product would round a row differently in batches of different sizes.
    """
    return (counts * weights).sum(axis=1)


def defined(values: Floats) -> Floats:
    """Return values with NaN where a division by zero left infinity."""
    return np.where(np.isfinite(values), values, np.nan)


def central_moments(sums: Floats) -> dict[str, Floats]:
    """Return moments about the centroid.

    The sums move to the pixel nearest the centroid first, in whole numbers, then by the
    fraction that is left: at most half a pixel, so that nothing cancels.
    """
    n, y, x, yy, yx, xx, yyy, yyx, yxx, xxx = sums.T
    b, a = np.rint(y / n), np.rint(x / n)
    for _ in range(2):
        yyy = yyy - 3 * b * yy + 3 * b * b * y - b**3 * n
        yyx = yyx - a * yy - 2 * b * yx + 2 * a * b * y + b * b * x - a * b * b * n
        yxx = yxx - b * xx - 2 * a * yx + 2 * a * b * x + a * a * y - b * a * a * n
        xxx = xxx - 3 * a * xx + 3 * a * a * x - a**3 * n
        yy = yy - 2 * b * y + b * b * n
        yx = yx - b * x - a * y + a * b * n
        xx = xx - 2 * a * x + a * a * n
        y, x = y - b * n, x - a * n
        b, a = y / n, x / n
    return {"n": n, "yy": yy, "yx": yx, "xx": xx, "yyy": yyy, "yyx": yyx, "yxx": yxx, "xxx": xxx}


def axes(moments: dict[str, Floats]) -> tuple[Floats, Floats, Floats]:
    """Return major and minor axis and the direction of the major one.

    Axes of the ellipse of the same second moments: four times the standard deviations along
    the principal directions. The direction is in (-90, 90], NaN where both are equal.
    """
    yy, yx, xx = (moments[name] / moments["n"] for name in ("yy", "yx", "xx"))
    mean, half = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
    major, minor = 4 * np.sqrt(mean + half), 4 * np.sqrt(np.maximum(mean - half, 0))
    # + 0 turns -0 into 0, which keeps -90 degrees out
    angle = np.degrees(np.arctan2(2 * yx + 0.0, xx - yy)) / 2
    return major, minor, np.where(half > 0, angle, np.nan)


def hu_moments(moments: dict[str, Floats]) -> dict[str, Floats]:
    """Return the seven invariants of Hu (1962) of the scale-free central moments."""
    n = moments["n"]
    yy, yx, xx = (moments[name] / n**2 for name in ("yy", "yx", "xx"))
    yyy, yyx, yxx, xxx = (moments[name] / n**2.5 for name in ("yyy", "yyx", "yxx", "xxx"))
    s, t = yyy + yxx, yyx + xxx
    u, v = yyy - 3 * yxx, 3 * yyx - xxx
    difference = yy - xx
    cubes = s * (s * s - 3 * t * t), t * (3 * s * s - t * t)
    hu = (
        yy + xx,
        difference**2 + 4 * yx**2,
        u * u + v * v,
        s * s + t * t,
        u * cubes[0] + v * cubes[1],
        difference * (s * s - t * t) + 4 * yx * s * t,
        v * cubes[0] - u * cubes[1],
    )
    return {f"hu{k + 1}": value for k, value in enumerate(hu)}


def _squircle_table() -> tuple[Floats, Floats]:
    """Return rising second moment over area and bounding square over area, disc to square."""
    inverse = np.linspace(0.5, 1e-6, 400)
    gamma = np.vectorize(math.gamma)
    share = gamma(1 + inverse) ** 2 / gamma(1 + 2 * inverse)
    second = inverse**2 * gamma(3 * inverse) * gamma(inverse) / gamma(1 + 4 * inverse)
    return second / (4 * share**2), 1 / share


def edge_length(area: Floats, major: Floats, minor: Floats) -> Floats:
    """Estimate the distance of opposite faces of a squircle from its area and moments.

    The superellipse ``|x/a|^p + |y/b|^p = 1``, p ≥ 2, with the region's area and product of
    principal second moments is taken; its edge is ``2 sqrt(a b)``. The ratio of both fixes p: it
    rises from 1/(4π) of an ellipse to 1/12 of a rectangle. NaN where it is more than 5 % above
    a rectangle's (stars, triangles, clumps): no squircle is meant.
    """
    moment, square = _squircle_table()
    ratio = major * minor / 16 / area
    length = np.sqrt(area * np.interp(ratio, moment, square))
    plausible = (ratio > 0) & (ratio <= _SQUARE_MOMENT * _SQUARE_TOLERANCE)
    return np.where(plausible, length, np.nan)
