"""Charts of a columns run: profiles by layer, distributions of tilt and intensity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stempede.report import style
from stempede.report.figures import bin_edges, legend_above, start

COLOURS = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE)


def draw_profile(series: Mapping[str, Sequence[np.ndarray]], label: str) -> Any:
    """Draw means by layer with bands of 1.96 standard errors.

    Parameters
    ----------
    series : mapping of str to (layer, mean, se)
        By the name in the legend; a single one has no legend.
    label : str
        Name and unit of the quantity.
    """
    figure, axes = start()
    for (name, (layer, mean, se)), colour in zip(series.items(), COLOURS, strict=False):
        order = np.argsort(layer)
        layer, mean, se = layer[order], mean[order], np.nan_to_num(se[order])
        axes.fill_between(layer, mean - 1.96 * se, mean + 1.96 * se, color=colour, alpha=0.2, lw=0)
        axes.plot(layer, mean, "o-", color=colour, markersize=4, linewidth=1.2, label=name)
    axes.set_xlabel("layer, 0 is the surface")
    axes.set_ylabel(label)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if len(series) > 1:
        legend_above(figure, axes)
    return figure


def draw_histogram(
    groups: Mapping[str, np.ndarray], label: str, *, zero: bool = False, share: bool = True
) -> Any:
    """Draw the distributions of one quantity in a few groups over common bins.

    Parameters
    ----------
    groups : mapping of str to (n,) array
        Finite values by the name in the legend.
    label : str
        Name and unit.
    zero : bool
        Mark zero.
    share : bool
        Heights are shares of each group, rather than numbers.
    """
    figure, axes = start()
    filled = {name: v[np.isfinite(v)] for name, v in groups.items()}
    filled = {name: v for name, v in filled.items() if len(v)}
    if not filled:
        return figure
    edges = bin_edges(np.concatenate(list(filled.values())))
    for (name, values), colour in zip(filled.items(), COLOURS, strict=False):
        heights, _ = np.histogram(values, edges)
        shown = heights / len(values) if share else heights
        axes.stairs(shown, edges, fill=True, color=colour, alpha=0.22)
        axes.stairs(shown, edges, color=colour, linewidth=1.1, label=f"{name} ({len(values):,})")
    if zero:
        axes.axvline(0, color=style.MUTED, linewidth=0.8, linestyle=":")
    axes.set_xlabel(label)
    axes.set_ylabel("share" if share else "number")
    legend_above(figure, axes)
    return figure
