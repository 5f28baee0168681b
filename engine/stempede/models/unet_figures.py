"""Figures and tables of a U-Net's training: learning curve, thresholds by fold, side by side."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stempede.models.unet_folds import DEFAULT, THRESHOLDS, Fold

_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "stempede",
}
# distinguishable with any colour vision (Okabe and Ito)
_TRAINED, _HELD, _HUMAN, _FOUND = "#0072B2", "#D55E00", "#E69F00", "#56B4E9"


def learning(folder: Path, history: Sequence[Mapping[str, float]]) -> list[Path]:
    """Write the learning curve: PNG, SVG and CSV."""

    def draw(axis: Any) -> None:
        epochs = [row["epoch"] for row in history]
        axis.plot(epochs, [r["train_loss"] for r in history], color=_TRAINED, label="trained on")
        axis.plot(epochs, [r["loss"] for r in history], color=_HELD, label="not trained on")
        axis.set(xlabel="epoch", ylabel="loss")
        axis.legend(frameon=False)

    return [*_draw(folder / "learning", draw), table(folder / "learning.csv", history)]


def scans(folder: Path, folds: Sequence[Fold]) -> list[Path]:
    """Write the Jaccard index of each fold by threshold: PNG and SVG."""

    def draw(axis: Any) -> None:
        every = np.array([[row["jaccard"] for row in fold.scan] for fold in folds])
        axis.plot(THRESHOLDS, every.T, color="0.7", lw=1)
        axis.plot(THRESHOLDS, every.mean(axis=0), color=_HELD, label="mean of the folds")
        axis.axvline(DEFAULT, color="0.3", ls=":", lw=1)
        axis.set(xlabel="probability threshold", ylabel="Jaccard index, images not trained on")
        axis.legend(frameon=False)

    return _draw(folder / "thresholds", draw)


def side_by_side(
    path: Path, rows: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]]
) -> Path:
    """Write images beside what people drew and what a network that had not seen them found.

    Parameters
    ----------
    path : Path
        A PNG.
    rows : sequence of (name, image, drawn, found)
        Names, (y, x) images and (y, x) labels.
    """
    from matplotlib.figure import Figure
    from skimage.segmentation import find_boundaries

    figure = Figure(figsize=(9, 3 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), 3, squeeze=False)
    for line, (name, image, drawn, found) in zip(axes, rows):
        low, high = np.quantile(image, [0.005, 0.995])
        grey = np.clip((image - low) / max(high - low, 1e-12), 0, 1)
        overlays = ((None, _HUMAN, name), (drawn, _HUMAN, "drawn"), (found, _FOUND, "found"))
        for axis, (labels, colour, title) in zip(line, overlays):
            axis.imshow(grey, cmap="gray", interpolation="nearest")
            if labels is not None:
                edge = np.ma.masked_equal(find_boundaries(labels, mode="inner"), False)
                axis.contourf(edge.filled(False), levels=[0.5, 1.5], colors=[colour])
            axis.set(title=title, xticks=[], yticks=[])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def table(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write rows as CSV, numbers to six digits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            cells = {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()}
            writer.writerow(cells)
    return path


def numbers(path: Path, content: Mapping[str, Any]) -> Path:
    """Write JSON."""
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    return path


def _draw(stem: Path, draw: Any) -> list[Path]:
    """Draw one pair of axes as PNG and SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    stem.parent.mkdir(parents=True, exist_ok=True)
    written = []
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.2, 3.0), layout="constrained")
        draw(figure.subplots())
        for ending in ("png", "svg"):
            path = stem.with_suffix(f".{ending}")
            figure.savefig(path, dpi=150, metadata={"Date": None} if ending == "svg" else {})
            written.append(path)
    return written
