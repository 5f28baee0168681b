"""Figures of a report: each takes numbers, returns a matplotlib figure; ``save`` writes it.

Particles are binned before anything is drawn, so that a figure of 400,000 particles is as
small as one of 400.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stempede.report import style
from stempede.report.sizes import Fit, Interval

SIZE = (4.7, 3.1)
SMALL = (1.95, 1.35)
_PNG_DPI = 150


def start(size: tuple[float, float] = SIZE, layout: str | None = "constrained") -> tuple[Any, Any]:
    """Return a figure and its axes, drawn without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout=layout)
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def legend_above(figure: Any, axes: Any) -> None:
    """Put the legend over the axes, where it hides nothing."""
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper left", ncols=2, columnspacing=1.4, handlelength=1.8)


def styled() -> Any:
    """Return a context in which figures take the style of the report."""
    from matplotlib import rc_context

    return rc_context(style.RC)


def save(figure: Any, folder: Path, name: str) -> str:
    """Write ``name.svg`` and ``name.png`` and return the SVG as a data URI."""
    svg, _ = _written(figure, folder, name)
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")


def save_picture(figure: Any, folder: Path, name: str, share: int = 11) -> tuple[str, Any]:
    """Write ``name.svg`` and ``name.png`` and return a JPEG as a data URI, with (width, height).

    Parameters
    ----------
    figure : Figure
        Made of pixels, too many for a page as they are.
    folder : Path
    name : str
    share : int
        Of so many on a page: decides the quality.
    """
    from stempede.report.overlays import jpeg_uri

    _, rgb = _written(figure, folder, name)
    return jpeg_uri(rgb, share), (rgb.shape[1], rgb.shape[0])


def _written(figure: Any, folder: Path, name: str) -> tuple[bytes, np.ndarray]:
    """Write both files; return the SVG and the pixels of the PNG, (y, x, 3) uint8."""
    from PIL import Image

    buffer = io.BytesIO()
    # no date: the same run gives the same files
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "stempede"})
    (folder / f"{name}.svg").write_bytes(buffer.getvalue())
    # the layout found for the first holds for the second
    figure.set_layout_engine("none")
    figure.set_dpi(_PNG_DPI)
    figure.canvas.draw()
    rgb = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
    Image.fromarray(rgb).save(folder / f"{name}.png", compress_level=3, dpi=(_PNG_DPI, _PNG_DPI))
    return buffer.getvalue(), rgb


def bin_edges(sizes: np.ndarray) -> np.ndarray:
    """Return the edges of equal bins that suit sizes.

    Parameters
    ----------
    sizes : (n,) array
        Finite sizes, at least one.

    Returns
    -------
    (k + 1,) float64 array
        6 to 60 bins after Freedman and Diaconis; outliers far out may lie beyond the last.
    """
    low, q1, q3, high = np.quantile(sizes, (0.0, 0.25, 0.75, 1.0))
    width = 2.0 * (q3 - q1) / len(sizes) ** (1 / 3)
    # alike but for rounding
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        pad = abs(low) * 0.05 or 0.5
        return np.linspace(low - pad, high + pad, 7)
    if width <= 0:
        width = (high - low) / 12
    far = q3 + 6.0 * (q3 - q1)
    if q3 > q1 and high > far:
        high = max(far, float(np.quantile(sizes, 0.998)))
    count = int(np.clip(np.ceil((high - low) / width), 6, 60))
    return np.linspace(low, high, count + 1)


def size_histogram(
    sizes: np.ndarray,
    weights: np.ndarray,
    axis: str,
    fits: Sequence[Fit],
    mean: Interval,
) -> Any:
    """Draw the weighted size distribution with the fitted ones.

    Parameters
    ----------
    sizes, weights : (n,) arrays
        Accepted particles and their edge weights.
    axis : str
        Name and unit of the size.
    fits : sequence of Fit
        Drawn as densities, best AIC first in the legend.
    mean : Interval
        Marked with its interval.
    """
    figure, axes = start()
    edges = bin_edges(sizes)
    counts, _ = np.histogram(sizes, edges, weights=weights)
    width = edges[1] - edges[0]
    density = counts / (weights.sum() * width)
    axes.stairs(density, edges, fill=True, color=style.SKY, alpha=0.55)
    axes.stairs(density, edges, color=style.BLUE, linewidth=0.8)
    x = np.linspace(edges[0], edges[-1], 400)
    for fit in fits:
        axes.plot(
            x,
            fit.pdf(x),
            color=style.FIT_COLOURS.get(fit.law, style.INK),
            linestyle=style.FIT_LINES.get(fit.law, "-"),
            linewidth=1.6,
            label=fit.legend,
        )
    if mean.known:
        axes.axvspan(mean.low, mean.high, color=style.ORANGE, alpha=0.35, linewidth=0)
    if np.isfinite(mean.value):
        axes.axvline(
            mean.value,
            color=style.ORANGE,
            linewidth=1.2,
            label="mean, 95 % CI" if mean.known else "mean",
        )
    axes.set_xlabel(axis)
    axes.set_ylabel("density, edge-weighted")
    axes.set_ylim(bottom=0)
    legend_above(figure, axes)
    return figure


def quantile_plot(
    quantiles: Mapping[str, tuple[np.ndarray, np.ndarray]], names: Mapping[str, str], axis: str
) -> Any:
    """Draw measured quantiles against those of each law (Q–Q).

    Parameters
    ----------
    quantiles : mapping of str to (theory, measured)
        Points by law.
    names : mapping of str to str
        Laws as readers call them.
    axis : str
        Name and unit of the size.
    """
    figure, axes = start()
    markers = {"normal": "s", "lognormal": "o", "lognormal mixture": "^"}
    ends = [np.inf, -np.inf]
    for law, (theory, observed) in quantiles.items():
        axes.plot(
            theory,
            observed,
            markers.get(law, "."),
            markersize=3.5,
            markerfacecolor="none",
            markeredgewidth=0.8,
            label=names.get(law, law),
            color=style.FIT_COLOURS.get(law, style.INK),
        )
        ends = [min(ends[0], observed.min()), max(ends[1], observed.max())]
    axes.plot(ends, ends, color=style.MUTED, linewidth=1)
    axes.set_xlabel(f"quantile of the law, {axis}")
    axes.set_ylabel("measured quantile")
    legend_above(figure, axes)
    return figure


def outcome_bars(counts: Mapping[str, int]) -> Any:
    """Draw what became of every detected region: accepted, and set aside by reason."""
    names = list(counts)
    figure, axes = start((4.7, max(1.5, 0.55 + 0.34 * len(names))))
    values = np.array([counts[name] for name in names], dtype=float)
    colours = [style.BLUE if name == "accepted" else style.ORANGE for name in names]
    axes.barh(names, values, color=colours, height=0.65)
    total = max(1.0, values.sum())
    for k, value in enumerate(values):
        axes.annotate(
            f"{int(value):,}  ({_percent(value / total)})",
            (value, k),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
        )
    axes.invert_yaxis()
    axes.margins(x=0.28)
    axes.set_xlabel("detected regions")
    axes.tick_params(axis="y", length=0)
    return figure


def _percent(share: float) -> str:
    return "< 0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"


def sensitivity(
    scales: np.ndarray, shifts: Sequence[Interval], mean: Interval, measure: str
) -> Any:
    """Draw the shift of the mean size with the threshold, beside the statistical interval.

    Parameters
    ----------
    scales : (k,) array
        Thresholds relative to the recipe's.
    shifts : sequence of Interval
        Relative shifts of the mean.
    mean : Interval
        Its half-width is the band.
    measure : str
        Name of the size.
    """
    figure, axes = start()
    if mean.known and mean.value:
        low, high = (100 * (v / mean.value - 1) for v in (mean.low, mean.high))
        label = "95 % CI of the mean"
        axes.axhspan(low, high, color=style.ORANGE, alpha=0.3, linewidth=0, label=label)
    axes.axhline(0, color=style.MUTED, linewidth=0.8)
    x = 100 * (scales - 1)
    for at, shift in zip(x, shifts, strict=True):
        if shift.known:
            axes.plot([at, at], [100 * shift.low, 100 * shift.high], color=style.BLUE, linewidth=2)
    axes.plot(x, [100 * s.value for s in shifts], "o-", color=style.BLUE, label=measure)
    axes.set_xticks(x, [f"{v:+.0f}" if round(v) else "0" for v in x])
    axes.set_xlabel("change of threshold, %")
    axes.set_ylabel("change of mean size, %")
    legend_above(figure, axes)
    return figure


def per_frame(
    frames: np.ndarray, means: np.ndarray, counts: np.ndarray, mean: Interval, axis: str
) -> Any:
    """Draw the mean size of each frame in order; the area of a point is its number of particles."""
    figure, axes = start()
    if mean.known:
        axes.axhspan(mean.low, mean.high, color=style.ORANGE, alpha=0.35, linewidth=0)
    if np.isfinite(mean.value):
        axes.axhline(
            mean.value,
            color=style.ORANGE,
            linewidth=1.2,
            label="mean, 95 % CI" if mean.known else "mean",
        )
    if len(frames) > 1500:
        frames, means, counts = _block_means(frames, means, counts, 500)
    area = 6 + 44 * counts / max(1, counts.max(initial=1))
    axes.scatter(frames, means, s=area, color=style.BLUE, alpha=0.75, linewidths=0)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("frame, in order")
    axes.set_ylabel(axis)
    legend_above(figure, axes)
    return figure


def _block_means(
    frames: np.ndarray, means: np.ndarray, counts: np.ndarray, blocks: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    parts = np.array_split(np.arange(len(frames)), blocks)
    total = np.array([counts[p].sum() for p in parts], dtype=float)
    mean = np.array([(means[p] * counts[p]).sum() for p in parts]) / np.maximum(total, 1)
    return np.array([frames[p].mean() for p in parts]), mean, total


def by_label(names: Sequence[str], means: Sequence[Interval], axis: str) -> Any:
    """Draw the mean size of each sample with its interval."""
    figure, axes = start((4.7, max(1.6, 0.7 + 0.34 * len(names))))
    for k, mean in enumerate(means):
        if mean.known:
            axes.plot([mean.low, mean.high], [k, k], color=style.BLUE, linewidth=2)
        axes.plot([mean.value], [k], "o", color=style.BLUE, markersize=5)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(y=0.15 if len(names) > 1 else 0.5)
    axes.set_xlabel(axis)
    return figure


def feature(values: np.ndarray, title: str) -> Any:
    """Draw the distribution of one feature as a small panel; the line is the median.

    The outer 0.5 % on each side are not drawn.
    """
    figure, axes = start(SMALL, layout=None)
    figure.subplots_adjust(left=0.06, right=0.94, bottom=0.2, top=0.85)
    low, high = np.quantile(values, (0.005, 0.995))
    edges = bin_edges(values[(values >= low) & (values <= high)])
    counts, _ = np.histogram(values, edges)
    axes.stairs(counts, edges, fill=True, color=style.SKY, alpha=0.8)
    axes.axvline(np.median(values), color=style.INK, linewidth=1)
    axes.set_title(title, loc="left", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.locator_params(axis="x", nbins=3)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    return figure


def overlap(jaccard: np.ndarray) -> Any:
    """Draw the distribution of the overlap of fitted shapes with their masks."""
    figure, axes = start()
    low = min(0.8, float(np.quantile(jaccard, 0.005)))
    counts, edges = np.histogram(np.maximum(jaccard, low), np.linspace(low, 1, 41))
    axes.stairs(counts, edges, fill=True, color=style.SKY, alpha=0.8)
    axes.axvline(np.median(jaccard), color=style.INK, linewidth=1.2)
    axes.set_xlim(low, 1)
    axes.set_xlabel("Jaccard overlap of shape and mask")
    axes.set_ylabel("particles")
    return figure
