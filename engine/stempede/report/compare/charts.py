"""Figures of a comparison: sizes, spreads and groups of each side, on shared axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stempede.particles.clusters import Estimate
from stempede.report import style
from stempede.report.compare.contrasts import Described
from stempede.report.figures import bin_edges, legend_above, start
from stempede.report.groups.colours import COLOURS, colour, line

_MARKS = "os^Dv*"


def size_ridges(described: Sequence[Described]) -> Any:
    """Draw the size distribution of each side above the others, on one axis."""
    figure, axes = start((4.7, 0.95 + 0.48 * len(described)))
    everything = np.concatenate([d.side.size for d in described])
    edges = bin_edges(everything)
    if len(edges) > 41:
        edges = np.linspace(edges[0], edges[-1], 41)
    densities = [_density(d, edges) for d in described]
    scale = 0.86 / max(max(d.max() for d in densities), 1e-300)
    for k, (one, density) in enumerate(zip(described, densities, strict=True)):
        shade = COLOURS[k % len(COLOURS)]
        axes.stairs(
            -k + scale * density,
            edges,
            baseline=-k,
            fill=True,
            color=shade,
            alpha=0.5,
            label=one.side.name,
        )
        axes.axhline(-k, color=style.LINE, linewidth=0.6, zorder=0)
        low, high = one.mean.ci_low, one.mean.ci_high
        if np.isfinite(low):
            axes.plot([low, high], [-k, -k], color=style.INK, linewidth=3, solid_capstyle="butt")
        axes.plot([one.mean.value], [-k], "|", color=style.INK, markersize=9)
    axes.set_yticks([-k for k in range(len(described))], [d.side.name for d in described])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(-len(described) + 0.85, 1.02)
    axes.set_xlabel(described[0].side.axis)
    return figure


def _density(one: Described, edges: np.ndarray) -> np.ndarray:
    counts, _ = np.histogram(one.side.size, edges, weights=one.side.weight)
    density: np.ndarray = counts / (one.side.weight.sum() * (edges[1] - edges[0]))
    return density


def points(names: Sequence[str], values: Sequence[Estimate], label: str, scale: float) -> Any:
    """Draw one number of each side with its interval."""
    figure, axes = start((4.7, 0.85 + 0.34 * len(names)))
    for k, value in enumerate(values):
        shade = COLOURS[k % len(COLOURS)]
        if np.isfinite(value.ci_low):
            ends = [scale * value.ci_low, scale * value.ci_high]
            axes.plot(ends, [k, k], color=shade, linewidth=2.2)
        axes.plot([scale * value.value], [k], "o", color=shade, markersize=6)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(y=0.25)
    axes.grid(axis="x", color=style.LINE, linewidth=0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(label)
    return figure


def group_shares(described: Sequence[Described], groups: Sequence[int]) -> Any:
    """Draw the share of each group on every side: one block of bars per group."""
    n = len(described)
    figure, axes = start((9.6, 3.3))
    width = 0.8 / n
    for k, one in enumerate(described):
        at = np.arange(len(groups)) + (k - (n - 1) / 2) * width
        shares = [one.shares[g] for g in groups]
        heights = [100 * s.value for s in shares]
        shade = COLOURS[k % len(COLOURS)]
        axes.bar(at, heights, width * 0.92, color=shade, alpha=0.8, label=one.side.name)
        for x, share in zip(at, shares, strict=True):
            if np.isfinite(share.ci_low):
                ends = [100 * share.ci_low, 100 * share.ci_high]
                axes.plot([x, x], ends, color=style.INK, linewidth=1.2)
    axes.set_xticks(range(len(groups)), [f"group {g}" for g in groups])
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("share of grouped particles, %")
    figure.legend(loc="outside upper left", ncols=6, columnspacing=1.4, handlelength=1.2)
    return figure


Series = Mapping[str, tuple[np.ndarray, Sequence[Estimate]]]


def trajectory(series: Series, x_label: str, y_label: str, scale: float, *, groups: bool) -> Any:
    """Draw numbers against a numeric label, with intervals, a line per series.

    Parameters
    ----------
    series : mapping of str to (x, estimates)
    x_label, y_label : str
    scale : float
        Factor on the estimates.
    groups : bool
        Whether series are groups, which have colours of their own.
    """
    figure, axes = start()
    for k, (name, (x, values)) in enumerate(series.items()):
        number = int(name.rpartition(" ")[2]) if groups else k
        shade = colour(number) if groups else COLOURS[k % len(COLOURS)]
        y = scale * np.array([v.value for v in values])
        bounds = scale * np.array([[v.ci_low, v.ci_high] for v in values])
        known = np.isfinite(bounds).all(axis=1)
        axes.vlines(x[known], *bounds[known].T, color=shade, linewidth=1.4)
        axes.plot(
            x,
            y,
            _MARKS[k % len(_MARKS)],
            linestyle=line(number),
            color=shade,
            markersize=5,
            linewidth=1.2,
            label=name,
        )
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if len(series) > 1:
        legend_above(figure, axes)
    return figure
