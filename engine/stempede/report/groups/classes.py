"""Figures of the classifier: confusion matrix and accuracy by feature subset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stempede.report import style
from stempede.report.figures import legend_above, start
from stempede.report.sizes import Interval


def confusion_matrix(
    counts: np.ndarray,
    truth: Sequence[str],
    told: Sequence[str],
    axis_names: tuple[str, str] = ("label", "classifier says"),
) -> Any:
    """Draw a confusion matrix: shares of each row as shade, numbers written in.

    Parameters
    ----------
    counts : (classes, classes) array
        Rows: label; columns: what the classifier said.
    truth, told : sequence of str
        Names of rows and of columns.
    axis_names : tuple of str
        What rows and what columns are.
    """
    side = max(2.6, 1.5 + 0.42 * len(told))
    figure, axes = start((side + 0.6, side * 0.9))
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shown = axes.imshow(100 * share, cmap="Blues", vmin=0, vmax=100)
    for (i, j), n in np.ndenumerate(counts):
        if n:
            dark = share[i, j] > 0.55
            axes.text(
                j,
                i,
                f"{int(n):,}",
                ha="center",
                va="center",
                color="white" if dark else style.INK,
                fontsize="small",
            )
    axes.set_xticks(
        range(len(told)),
        told,
        rotation=40 if _long(told) else 0,
        ha="right" if _long(told) else "center",
    )
    axes.set_yticks(range(len(truth)), truth)
    axes.set_xlabel(axis_names[1])
    axes.set_ylabel(axis_names[0])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.colorbar(shown, ax=axes, label="share of the row, %", shrink=0.85)
    return figure


def _long(names: Sequence[str]) -> bool:
    return max((len(n) for n in names), default=0) > 4


def accuracy_bars(names: Sequence[str], scores: Sequence[Interval], chance: float) -> Any:
    """Draw the accuracy that each set of features reaches, with its 95 % interval.

    Parameters
    ----------
    names : sequence of str
    scores : sequence of Interval
        Shares.
    chance : float
        What always naming the largest class reaches; NaN: not drawn.
    """
    figure, axes = start((4.7, 0.95 + 0.34 * len(names)))
    axes.barh(
        range(len(names)), [100 * s.value for s in scores], color=style.SKY, alpha=0.8, height=0.6
    )
    for k, score in enumerate(scores):
        if score.known:
            ends = [100 * score.low, 100 * score.high]
            axes.plot(ends, [k, k], "|-", color=style.INK, linewidth=1.3, markersize=6)
        axes.annotate(
            f"{100 * score.value:.1f}",
            (0, k),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
        )
    if np.isfinite(chance):
        label = "always the largest class"
        axes.axvline(100 * chance, color=style.VERMILION, linewidth=1.1, ls="--", label=label)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("accuracy, %")
    axes.tick_params(axis="y", length=0)
    legend_above(figure, axes)
    return figure
