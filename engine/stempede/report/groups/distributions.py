"""Figures of what groups are: sizes of groups, features by group, parallel coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stempede.report import style
from stempede.report.figures import bin_edges, start
from stempede.report.groups.colours import line
from stempede.report.groups.findings import Group

_PANEL = 2.5
_MOST_BINS = 28
_OUTER = (0.005, 0.995)


def group_sizes(groups: Sequence[Group]) -> Any:
    """Draw the share of each group with its 95 % interval, and its number of particles."""
    figure, axes = start((4.7, 0.75 + 0.34 * len(groups)))
    for k, group in enumerate(groups):
        share = 100 * group.share.value
        axes.barh(k, share, color=group.colour, height=0.62, alpha=0.75)
        reach = share
        if group.share.known:
            low, high = 100 * group.share.low, 100 * group.share.high
            axes.plot([low, high], [k, k], color=style.INK, linewidth=1.3)
            axes.plot([low, high], [k, k], "|", color=style.INK, markersize=6)
            reach = high
        axes.annotate(
            f"{group.n:,}",
            (reach, k),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
        )
    axes.set_yticks(range(len(groups)), [g.name for g in groups])
    axes.invert_yaxis()
    axes.margins(x=0.16)
    axes.set_xlim(left=0)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("share of grouped particles, %")
    return figure


def ridges(
    values: np.ndarray, weights: np.ndarray, number: np.ndarray, groups: Sequence[Group], title: str
) -> Any:
    """Draw the distribution of one predictor by group, each with its normal fit.

    Groups stand above each other over one axis; each is scaled to its own peak, and the dark
    line is the normal law of the same weighted mean and standard deviation. Whole numbers have
    bins of their own and no normal law.

    Parameters
    ----------
    values, weights : (n,) float64 arrays
        On the axis; NaN where a particle has none. Edge weights.
    number : (n,) int64 array
        Group of each.
    groups : sequence of Group
        Drawn from the top.
    title : str
        Name and unit.
    """
    height = 0.62 + 0.3 * len(groups)
    figure, axes = start((_PANEL, height), layout=None)
    figure.subplots_adjust(left=0.1, right=0.97, bottom=0.27 / height, top=1 - 0.24 / height)
    _stack(axes, values, weights, number, groups, title=title)
    return figure


def ridges_sheet(
    predictors: Sequence[tuple[str, np.ndarray]],
    weights: np.ndarray,
    number: np.ndarray,
    groups: Sequence[Group],
) -> Any:
    """Draw every predictor by group, all panels in one figure of four columns.

    Parameters
    ----------
    predictors : sequence of (str, (n,) float64 array)
        Name and unit, and values.
    weights, number : (n,) arrays
    groups : sequence of Group
    """
    across = 4
    down = -(-len(predictors) // across)
    figure, axes = start((9.6, down * (0.72 + 0.3 * len(groups))))
    axes.remove()
    for k, (title, values) in enumerate(predictors):
        panel = figure.add_subplot(down, across, k + 1)
        _stack(panel, values, weights, number, groups, title=title)
    return figure


def _stack(
    axes: Any,
    values: np.ndarray,
    weights: np.ndarray,
    number: np.ndarray,
    groups: Sequence[Group],
    *,
    title: str,
) -> None:
    there = np.isfinite(values)
    edges, whole = _edges(values[there])
    x = np.linspace(edges[0], edges[-1], 200)
    for k, group in enumerate(groups):
        rows = there & (number == group.number)
        grid = (edges, None if whole else x)
        _ridge(axes, -float(k), group, (values[rows], weights[rows]), grid)
    axes.set_title(title, loc="left", fontsize="medium", x=-0.08)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(-len(groups) + 0.92, 1.02)
    axes.set_yticks([-k for k in range(len(groups))], [str(g.number) for g in groups])
    for label, group in zip(axes.get_yticklabels(), groups, strict=True):
        label.set_color(group.colour)
        label.set_fontweight("bold")
    axes.tick_params(axis="y", length=0, labelsize="small", pad=2)
    axes.tick_params(axis="x", labelsize="small")
    axes.locator_params(axis="x", nbins=4)
    axes.spines["left"].set_visible(False)


def _edges(values: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return edges of bins, and whether the values are a few whole numbers."""
    distinct = np.unique(values)
    if len(distinct) <= 12 and np.array_equal(distinct, np.round(distinct)):
        return np.arange(distinct[0] - 0.5, distinct[-1] + 1), True
    low, high = np.quantile(values, _OUTER)
    edges = bin_edges(values[(values >= low) & (values <= high)])
    if len(edges) > _MOST_BINS:
        edges = np.linspace(edges[0], edges[-1], _MOST_BINS + 1)
    return edges, False


def _ridge(
    axes: Any,
    base: float,
    group: Group,
    weighted: tuple[np.ndarray, np.ndarray],
    grid: tuple[np.ndarray, np.ndarray | None],
) -> None:
    (values, weights), (edges, x) = weighted, grid
    axes.axhline(base, color=style.LINE, linewidth=0.6)
    if not len(values):
        return
    counts, _ = np.histogram(values, edges, weights=weights)
    density = counts / (weights.sum() * (edges[1] - edges[0]))
    peak = density.max()
    if peak <= 0:
        return
    mean = np.average(values, weights=weights)
    sd = float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))
    normal = None
    if x is not None and sd > 0 and len(values) > 1:
        normal = np.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
    # the higher of both stays below the next group
    scale = 0.86 / max(peak, 0.0 if normal is None else float(normal.max()))
    axes.stairs(
        base + scale * density,
        edges,
        baseline=base,
        fill=True,
        color=group.colour,
        alpha=0.55,
        label=group.name,
    )
    if x is not None and normal is not None:
        axes.plot(x, base + scale * normal, color=style.INK, linewidth=1.0)


def parallel_coordinates(
    values: Sequence[np.ndarray],
    names: Sequence[str],
    number: np.ndarray,
    groups: Sequence[Group],
) -> Any:
    """Draw the median of each group through all predictors, with the middle half as a band.

    Parameters
    ----------
    values : sequence of (n,) float64 arrays
        One per predictor.
    names : sequence of str
        Predictors without units.
    number : (n,) int64 array
    groups : sequence of Group
    """
    figure, axes = start((9.6, 4.1))
    at = np.arange(len(values))
    scaled = [_standard(v) for v in values]
    for group in groups:
        rows = number == group.number
        quartiles = np.array([_quartiles(v[rows]) for v in scaled])  # (predictors, 3)
        axes.fill_between(
            at, quartiles[:, 0], quartiles[:, 2], color=group.colour, alpha=0.16, linewidth=0
        )
        axes.plot(
            at,
            quartiles[:, 1],
            "o",
            linestyle=line(group.number),
            color=group.colour,
            linewidth=1.8,
            markersize=3.5,
            label=f"{group.name} ({group.n:,})",
        )
    for k in at:
        axes.axvline(k, color=style.LINE, linewidth=0.6, zorder=0)
    axes.axhline(0, color=style.MUTED, linewidth=0.6, linestyle=":")
    axes.set_xticks(at, names, rotation=38, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.3, len(values) - 0.7)
    axes.set_ylabel("distance from the mean of all,\nstandard deviations")
    figure.legend(loc="outside right center", handlelength=1.8)
    return figure


def _standard(values: np.ndarray) -> np.ndarray:
    spread = np.nanstd(values)
    scaled: np.ndarray = (values - np.nanmean(values)) / (spread if spread > 0 else 1.0)
    return scaled


def _quartiles(values: np.ndarray) -> np.ndarray:
    known = values[np.isfinite(values)]
    if not len(known):
        return np.full(3, np.nan)
    quartiles: np.ndarray = np.quantile(known, (0.25, 0.5, 0.75))
    return quartiles
