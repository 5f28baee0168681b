"""Pictures of one crystal: the network over the image, maps of tilt and cell, residuals."""

from __future__ import annotations

from typing import Any

import numpy as np

from stempede.report import style
from stempede.report.folder import Columns
from stempede.report.overlays import grey

DIVERGING = "RdBu_r"
SEQUENTIAL = "viridis"
SPECIES = (style.VERMILION, style.ORANGE, style.SKY, style.GREEN, style.PURPLE)
HIDDEN = "hidden by its neighbours"
"""Why a column of the lattice is no find."""
_SIDE = 5.6
_MARGIN = 0.6
"""Room around a crystal, in lattice vectors."""


def window(columns: Columns, spacing_px: float, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Return the rows and columns of the image that hold a crystal with some room."""
    room = _MARGIN * spacing_px
    y, x = np.asarray(columns["y_px"], float), np.asarray(columns["x_px"], float)
    y, x = y[np.isfinite(y)], x[np.isfinite(x)]
    y0, y1 = (int(np.clip(v, 0, shape[0])) for v in (y.min() - room, y.max() + room + 1))
    x0, x1 = (int(np.clip(v, 0, shape[1])) for v in (x.min() - room, x.max() + room + 1))
    return slice(y0, max(y1, y0 + 1)), slice(x0, max(x1, x0 + 1))


def draw_network(image: np.ndarray, columns: Columns, octahedra: Columns, view: Any) -> Any:
    """Draw octahedra as squares coloured by staggered tilt over the image, columns as dots.

    Parameters
    ----------
    image : (h, w) float32 array
    columns, octahedra : Columns
        Of one crystal.
    view : (slice, slice)
        Part of the image to show.
    """
    from matplotlib.collections import PolyCollection

    figure, axes = _picture(image, view)
    tilt = np.asarray(octahedra["staggered_tilt_deg"], float)
    squares = squares_of(columns, octahedra)
    known = np.isfinite(tilt)
    bound = _bound(tilt)
    drawn = PolyCollection(
        [s for s, k in zip(squares, known, strict=True) if k],
        cmap=DIVERGING,
        edgecolors="white",
        linewidths=0.7,
        alpha=0.62,
    )
    drawn.set_array(tilt[known])
    drawn.set_clim(-bound, bound)
    axes.add_collection(drawn)
    if known.any():
        figure.colorbar(drawn, ax=axes, label="staggered tilt, °", shrink=0.8)
    _dots(axes, columns)
    figure.legend(
        loc="outside lower center", ncols=5, handletextpad=0.1, columnspacing=1.2, markerscale=2.5
    )
    return figure


def _picture(image: np.ndarray, view: tuple[slice, slice]) -> tuple[Any, Any]:
    from stempede.report.figures import start

    rows, cols = view
    height, width = rows.stop - rows.start, cols.stop - cols.start
    scale = _SIDE / max(height, width)
    figure, axes = start((max(width * scale, 3.0) + 0.9, max(height * scale, 2.5) + 0.4))
    shown = grey(image[view])
    extent = (cols.start - 0.5, cols.stop - 0.5, rows.stop - 0.5, rows.start - 0.5)
    axes.imshow(shown, cmap="gray", extent=extent, interpolation="nearest")
    _bare(axes, extent)
    return figure, axes


def _bare(axes: Any, extent: tuple[float, float, float, float]) -> None:
    axes.set_aspect("equal")
    axes.set_xlim(extent[:2])
    axes.set_ylim(extent[2:])
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _bound(values: np.ndarray) -> float:
    """Return where a symmetric colour scale ends: the 98 % quantile, to a round number."""
    values = np.abs(values[np.isfinite(values)])
    top = float(np.quantile(values, 0.98)) if len(values) else 1.0
    if not top > 0:
        return 1.0
    step = 10.0 ** np.floor(np.log10(top)) / 2
    return float(np.ceil(top / step) * step)


def squares_of(columns: Columns, octahedra: Columns) -> list[np.ndarray]:
    """Return one (4, 2) polygon (x, y) per octahedron: its X, or where they would be.

    A corner whose X was not seen is set opposite the one that was, or along the lattice.
    """
    i, j = np.asarray(columns["i"], float), np.asarray(columns["j"], float)
    xy = np.column_stack([columns["x_px"], columns["y_px"]]).astype(float)
    seen = columns.flags("accepted") & np.isfinite(xy).all(axis=1) & np.isfinite(i)
    place = {
        (round(2 * a), round(2 * b)): p for a, b, p in zip(i[seen], j[seen], xy[seen], strict=True)
    }
    a, b = _half_vectors(place)
    squares = []
    for oi, oj, x, y in zip(
        octahedra["i"], octahedra["j"], octahedra["pb_x_px"], octahedra["pb_y_px"], strict=True
    ):
        centre, corners = np.array([x, y], float), []
        for di, dj, step in ((1, 0, a), (0, 1, b), (-1, 0, -a), (0, -1, -b)):
            here = place.get((round(2 * oi) + di, round(2 * oj) + dj))
            there = place.get((round(2 * oi) - di, round(2 * oj) - dj))
            if here is None:
                here = centre + step if there is None else 2 * centre - there
            corners.append(here)
        squares.append(np.array(corners))
    return squares


def _half_vectors(place: dict[tuple[int, int], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return half of a and of b, by least squares over all columns of a crystal."""
    if len(place) < 3:
        return np.array([1.0, 0.0]), np.array([0.0, 1.0])
    ij = np.array(list(place))
    design = np.column_stack([ij, np.ones(len(ij))])
    fit = np.linalg.lstsq(design, np.array(list(place.values())), rcond=None)[0]
    return fit[0], fit[1]


def _dots(axes: Any, columns: Columns) -> None:
    x, y = np.asarray(columns["x_px"], float), np.asarray(columns["y_px"], float)
    accepted = columns.flags("accepted")
    inferred = np.array([s == "INFERRED" for s in columns.text("state")], bool)
    species = np.array(columns.text("species"), dtype=object)
    names = [n for n in dict.fromkeys(species[accepted].tolist()) if n]
    for name, colour in zip(sorted(names), SPECIES, strict=False):
        here = accepted & ~inferred & (species == name)
        axes.plot(x[here], y[here], ".", color=colour, markersize=3.2, label=name)
    if (accepted & inferred).any():
        here = accepted & inferred
        axes.plot(x[here], y[here], "o", mfc="none", mec="white", ms=4, mew=0.8, label="inferred")
    # a column drowned by brighter ones stands where the lattice says: no find to be judged
    hidden = np.array([reason == HIDDEN for reason in columns.text("reject_reason")], bool)
    here = ~accepted & ~hidden & np.isfinite(x)
    if here.any():
        axes.plot(x[here], y[here], "x", color=style.PURPLE, ms=3.5, mew=0.8, label="set aside")


def draw_map(
    y: np.ndarray, x: np.ndarray, values: np.ndarray, label: str, *, diverging: bool
) -> Any:
    """Draw one number per site as coloured squares at its place, y down.

    Parameters
    ----------
    y, x, values : (n,) arrays
        Places in px; sites without a number are left out.
    label : str
        Name and unit for the colour bar.
    diverging : bool
        Colours about zero, instead of from low to high.
    """
    from stempede.report.figures import start

    known = np.isfinite(values) & np.isfinite(y) & np.isfinite(x)
    y, x, values = y[known], x[known], values[known]
    figure, axes = start((3.3, 2.7))
    bound = _bound(values)
    low, high = (-bound, bound) if diverging else _range(values)
    area = _marker_area(y, x)
    drawn = axes.scatter(
        x,
        y,
        c=values,
        s=area,
        marker="s",
        cmap=DIVERGING if diverging else SEQUENTIAL,
        vmin=low,
        vmax=high,
        linewidths=0,
    )
    figure.colorbar(drawn, ax=axes, label=label, shrink=0.85)
    pad = 0.06 * max(np.ptp(x), np.ptp(y), 1.0)
    extent = (x.min() - pad, x.max() + pad, y.max() + pad, y.min() - pad)
    _bare(axes, extent)
    return figure


def _range(values: np.ndarray) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    low, high = np.quantile(values, (0.02, 0.98))
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)


def _marker_area(y: np.ndarray, x: np.ndarray) -> float:
    """Return the marker area (points squared) that lets neighbouring sites nearly touch."""
    span = max(np.ptp(x), np.ptp(y), 1.0)
    per_side = max(np.sqrt(len(x)), 1.0) * 1.25
    return float(np.clip((130.0 / per_side) ** 2, 4.0, 400.0)) if span > 0 else 30.0


def residual(image: np.ndarray, columns: Columns, scale: tuple[float, float] | None) -> np.ndarray:
    """Return image minus fitted columns in units of the noise, NaN away from them.

    The noise is that of the electrons; without a scale, the residuals' own scatter.

    Parameters
    ----------
    image : (h, w) array
        Counts.
    columns : Columns
        Of one frame; those with a fit count.
    scale : (float, float) or None
        Counts per electron and counts at none.
    """
    from scipy.spatial import cKDTree

    gain, zero = scale or (1.0, 0.0)
    electrons = (image - zero) / gain
    names = ("y_px", "x_px", "amplitude", "sigma_major_px", "sigma_minor_px", "angle_deg", "offset")
    values = np.column_stack([np.asarray(columns[n], float) for n in names])
    values = values[np.isfinite(values).all(axis=1) & columns.flags("accepted")]
    result: np.ndarray = np.full(image.shape, np.nan)
    if not len(values):
        return result
    model = np.zeros(image.shape)
    for column in values:
        _add(model, column)
    tree = cKDTree(values[:, :2])
    pixels = np.indices(image.shape).reshape(2, -1).T
    reach = 3.0 * float(np.median(values[:, 3]))
    distance, nearest = tree.query(pixels, distance_upper_bound=reach)
    near = np.isfinite(distance)
    offset = np.zeros(image.size)
    offset[near] = values[nearest[near], 6]
    expected = model.ravel() + offset
    left = electrons.ravel() - expected
    if scale is not None:
        left /= np.sqrt(np.maximum(expected, 0.05))
    elif near.any():
        left /= max(float(np.sqrt((left[near] ** 2).mean())), 1e-300)
    result.ravel()[near] = left[near]
    return result


def _add(model: np.ndarray, column: np.ndarray) -> None:
    """Add one Gaussian within five widths of its centre."""
    y, x, amplitude, major, minor, angle, _ = column
    reach = int(np.ceil(5 * max(major, minor)))
    y0, y1 = max(0, int(y) - reach), min(model.shape[0], int(y) + reach + 1)
    x0, x1 = max(0, int(x) - reach), min(model.shape[1], int(x) + reach + 1)
    if y1 <= y0 or x1 <= x0:
        return
    yy, xx = np.mgrid[y0:y1, x0:x1]
    turn = np.deg2rad(angle)
    along = (xx - x) * np.cos(turn) + (yy - y) * np.sin(turn)
    across = -(xx - x) * np.sin(turn) + (yy - y) * np.cos(turn)
    model[y0:y1, x0:x1] += amplitude * np.exp(-0.5 * ((along / major) ** 2 + (across / minor) ** 2))


def draw_residual(values: np.ndarray, view: tuple[slice, slice]) -> Any:
    """Draw a residual map of one crystal, in units of the noise."""
    from scipy.ndimage import gaussian_filter

    from stempede.report.figures import start

    rows, cols = view
    part = values[view]
    known = np.isfinite(part)
    # averaged over about a column's width: single pixels of a low-dose image say nothing
    sigma = 1.5
    weight = gaussian_filter(known.astype(float), sigma)
    smooth = gaussian_filter(np.where(known, part, 0.0), sigma) / np.maximum(weight, 1e-6)
    gain = 2 * sigma * np.sqrt(np.pi)
    shown = np.where(known, smooth * gain, np.nan)
    figure, axes = start((3.3, 2.7))
    extent = (cols.start - 0.5, cols.stop - 0.5, rows.stop - 0.5, rows.start - 0.5)
    drawn = axes.imshow(shown, cmap=DIVERGING, vmin=-5, vmax=5, extent=extent)
    figure.colorbar(drawn, ax=axes, label="residual / noise", shrink=0.85)
    _bare(axes, extent)
    return figure
