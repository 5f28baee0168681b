"""Figures of how groups were found: number of groups, tree, principal components."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stempede.report import style
from stempede.report.figures import legend_above, start

MOST_BRANCHES = 40
_MARKERS = "os^Dv"
_LINES = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.ORANGE)


def number_curves(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    chosen: int,
    label: str,
    needed: float = math.nan,
) -> Any:
    """Draw a score against the number of groups.

    Parameters
    ----------
    curves : mapping of str to (k, score, spread)
        By name; the spread (a standard error, NaN where there is none) is a bar.
    chosen : int
        The number that the run took.
    label : str
        Name of the score.
    needed : float
        What it must reach, drawn as a line; NaN where there is no such bound.
    """
    figure, axes = start()
    for (name, (k, score, spread)), marker, colour in zip(
        curves.items(), _MARKERS, _LINES, strict=False
    ):
        known = np.isfinite(score)
        bars = np.isfinite(spread) & known
        axes.plot(
            k[known],
            score[known],
            marker + "-",
            color=colour,
            markersize=4.5,
            linewidth=1.2,
            label=name,
        )
        if bars.any():
            axes.errorbar(k[bars], score[bars], spread[bars], fmt="none", color=colour, linewidth=1)
    if math.isfinite(needed):
        axes.axhline(needed, color=style.MUTED, linewidth=0.7, linestyle=":", label="needed")
    axes.axvline(chosen, color=style.ORANGE, linewidth=5, alpha=0.35, zorder=0)
    axes.annotate(
        f"taken: {chosen}",
        (chosen, 1),
        (5, -2),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        va="top",
        fontsize="small",
    )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("number of groups K")
    axes.set_ylabel(label)
    if len(curves) > 1 or math.isfinite(needed):
        legend_above(figure, axes)
    return figure


def pareto(shares: np.ndarray) -> Any:
    """Draw the variance that each principal component explains, and their running sum.

    Parameters
    ----------
    shares : (k,) float64 array
        Shares of the variance, falling.
    """
    figure, axes = start()
    at = np.arange(1, len(shares) + 1)
    axes.bar(at, 100 * shares, color=style.SKY, width=0.7, label="component")
    axes.plot(
        at,
        100 * np.cumsum(shares),
        "o-",
        color=style.INK,
        markersize=3.5,
        linewidth=1.2,
        label="sum up to here",
    )
    axes.axhline(95, color=style.MUTED, linewidth=0.7, linestyle=":")
    axes.annotate(
        "95 %",
        (at[-1], 95),
        (0, -3),
        textcoords="offset points",
        va="top",
        ha="right",
        fontsize="small",
        color=style.MUTED,
    )
    axes.set_ylim(0, 103)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("principal component")
    axes.set_ylabel("variance explained, %")
    legend_above(figure, axes)
    return figure


def loadings(matrix: np.ndarray, features: Sequence[str]) -> Any:
    """Draw the loadings of predictors on principal components as a map.

    Parameters
    ----------
    matrix : (components, features) float64 array
    features : sequence of str
    """
    figure, axes = start((4.7, 0.9 + 0.21 * len(features)))
    reach = float(np.nanmax(np.abs(matrix))) or 1.0
    shown = axes.imshow(matrix.T, cmap="PuOr_r", vmin=-reach, vmax=reach, aspect="auto")
    axes.set_xticks(range(len(matrix)), [f"{k + 1}" for k in range(len(matrix))])
    axes.set_yticks(range(len(features)), [name.replace("_", " ") for name in features])
    axes.tick_params(length=0, labelsize="small")
    axes.set_xlabel("principal component")
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.colorbar(shown, ax=axes, label="loading", shrink=0.9)
    return figure


def dendrogram(linkage: np.ndarray, branch_colour: Mapping[int, str]) -> Any:
    """Draw the upper branches of a tree, coloured where a branch is of one group.

    Parameters
    ----------
    linkage : (n - 1, 4) float64 array
        Left, right, height, count, as SciPy has it.
    branch_colour : mapping of int to str
        Colour of each node of the tree that has one.
    """
    from scipy.cluster.hierarchy import dendrogram as lay_out

    n = len(linkage) + 1
    laid = lay_out(
        linkage,
        truncate_mode="lastp",
        p=min(MOST_BRANCHES, n),
        no_plot=True,
        link_color_func=lambda node: branch_colour.get(node, style.MUTED),
    )
    figure, axes = start((9.6, 3.4))
    for x, y, colour in zip(laid["icoord"], laid["dcoord"], laid["color_list"], strict=True):
        axes.plot(x, y, color=colour, linewidth=1.3, solid_joinstyle="miter")
    counts = [_count(leaf, linkage, n) for leaf in laid["leaves"]]
    at = 5 + 10 * np.arange(len(counts))
    axes.set_xticks(at, [f"{c:,}" for c in counts], rotation=90)
    for label, leaf in zip(axes.get_xticklabels(), laid["leaves"], strict=True):
        label.set_color(branch_colour.get(leaf, style.INK))
    axes.tick_params(axis="x", length=0, labelsize="small")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("particles below each branch that is drawn")
    axes.set_ylabel("height of the join,\nstandard deviations")
    return figure


def _count(node: int, linkage: np.ndarray, n: int) -> int:
    return 1 if node < n else int(linkage[node - n, 3])


def colours_of_branches(
    linkage: np.ndarray, leaf_group: np.ndarray, colour: Mapping[int, str], purity: float = 0.9
) -> dict[int, str]:
    """Return the colour of every node whose leaves are mostly of one group.

    Parameters
    ----------
    linkage : (n - 1, 4) float64 array
    leaf_group : (n,) int64 array
        Group of each leaf, -1 for none.
    colour : mapping of int to str
        Colour of each group.
    purity : float
        Least share of one group below a node.
    """
    n = len(linkage) + 1
    groups = sorted(colour)
    member = np.zeros((2 * n - 1, len(groups)))
    for k, group in enumerate(groups):
        member[:n, k] = leaf_group == group
    for k, (left, right) in enumerate(linkage[:, :2].astype(int)):
        member[n + k] = member[left] + member[right]
    total = np.concatenate([np.ones(n), linkage[:, 3]])
    most = member.argmax(axis=1)
    pure = member.max(axis=1, initial=0) >= purity * total
    return {int(node): colour[groups[most[node]]] for node in np.flatnonzero(pure)}
