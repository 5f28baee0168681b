"""Figures and tables of a training: what a reader needs to trust or distrust a network."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stempede.models.heldout import HeldOut, by_bin, by_error, confusion
from stempede.models.shapenet import N_D

_NAMES = {"log_p": "log p", "d": "d", "log_l": "log L"}
_AXES = {"p": "true p", "d": "true d", "l_ratio": "true L"}
# distinguishable with any colour vision (Okabe and Ito)
_COLOURS = {"log_p": "#0072B2", "d": "#D55E00", "log_l": "#009E73"}
_MARKS = {"log_p": "o", "d": "s", "log_l": "^"}
_QUANTILES = np.linspace(0.01, 0.99, 99)


def write(folder: Path, held: HeldOut, history: Sequence[Mapping[str, float]]) -> list[Path]:
    """Write learning curve, Q–Q plots, RMSE, calibration and confusion: PNG, SVG and CSV each."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    style = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "stempede",
    }
    with mpl.rc_context(style):
        for name, (width, height), draw, rows in _figures(held, history):
            figure = Figure(figsize=(width, height), layout="constrained")
            draw(figure, rows)
            for ending in ("png", "svg"):
                path = folder / f"{name}.{ending}"
                when = {"Date": None} if ending == "svg" else {}
                figure.savefig(path, dpi=150, metadata=when)
                written.append(path)
            written.append(_table(folder / f"{name}.csv", rows))
    return written


def _figures(
    held: HeldOut, history: Sequence[Mapping[str, float]]
) -> list[tuple[str, tuple[float, float], Any, list[dict[str, Any]]]]:
    return [
        ("learning", (4.2, 3.0), _learning, [dict(row) for row in history]),
        ("quantiles", (7.5, 2.7), _quantiles, quantiles(held)),
        ("rmse", (7.5, 2.7), _rmse, by_bin(held)),
        ("calibration", (7.5, 2.7), _calibration, by_error(held)),
        ("confusion", (3.6, 3.3), _confusion, _counts(held)),
    ]


def quantiles(held: HeldOut) -> list[dict[str, Any]]:
    """Return rows of quantiles: errors over stated errors and the normal law; d and true d."""
    from scipy.stats import norm

    columns = {
        "normal": norm.ppf(_QUANTILES),
        **{
            name: np.quantile(held.misses[name] / held.answer[f"se_{name}"], _QUANTILES)
            for name in ("log_p", "log_l")
        },
        "true_d": np.quantile(held.truth["d"], _QUANTILES),
        "found_d": np.quantile(held.answer["d"], _QUANTILES),
    }
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def _counts(held: HeldOut) -> list[dict[str, Any]]:
    return [
        {"true_d": k + 1, **{f"found_{m + 1}": int(n) for m, n in enumerate(row)}}
        for k, row in enumerate(confusion(held))
    ]


def _learning(figure: Any, rows: list[dict[str, Any]]) -> None:
    axis = figure.subplots()
    epochs = [row["epoch"] for row in rows]
    axis.plot(epochs, [row["train_loss"] for row in rows], color="#0072B2", label="trained on")
    axis.plot(epochs, [row["loss"] for row in rows], color="#D55E00", label="not trained on")
    axis.set(xlabel="epoch", ylabel="loss (negative log density)")
    axis.legend(frameon=False)


def _quantiles(figure: Any, rows: list[dict[str, Any]]) -> None:
    axes = figure.subplots(1, 3)
    for axis, name in zip(axes, _NAMES):
        x, y = ("true_d", "found_d") if name == "d" else ("normal", name)
        ends = (0.8, 6.2) if name == "d" else (-3.0, 3.0)
        axis.plot(ends, ends, color="0.7", lw=1)
        points = [[row[key] for row in rows] for key in (x, y)]
        axis.plot(*points, _MARKS[name], ms=3, color=_COLOURS[name])
        axis.set(title=_NAMES[name], xlim=ends, ylim=ends)
        axis.set_xlabel("quantile of true d" if name == "d" else "normal quantile")
        axis.set_ylabel("quantile of d found" if name == "d" else "error / stated error")


def _rmse(figure: Any, rows: list[dict[str, Any]]) -> None:
    axes = figure.subplots(1, 3, sharey=True)
    for axis, (against, label) in zip(axes, _AXES.items()):
        part = [row for row in rows if row["against"] == against]
        log = against != "d"
        middle = [
            np.sqrt(r["low"] * r["high"]) if log else (r["low"] + r["high"]) / 2 for r in part
        ]
        for name, text in _NAMES.items():
            values = [row[f"rmse_{name}"] for row in part]
            axis.plot(middle, values, _MARKS[name] + "-", ms=4, color=_COLOURS[name], label=text)
        axis.set(xlabel=label, yscale="log", xscale="log" if log else "linear")
        if log:
            ticks = [0.3, 1, 3, 10, 20] if against == "p" else [1, 1.5, 2, 3, 5]
            axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
            axis.minorticks_off()
    values = [0.05, 0.1, 0.2, 0.5]
    axes[0].set_yticks(values, [f"{v:g}" for v in values])
    axes[0].set_ylabel("RMSE")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, ncols=3, loc="outside upper center")


def _calibration(figure: Any, rows: list[dict[str, Any]]) -> None:
    from matplotlib.ticker import NullFormatter

    axes = figure.subplots(1, 3)
    for axis, name in zip(axes, _NAMES):
        part = [row for row in rows if row["of"] == name]
        # none wrong in a group says less than half of one
        least = 0.5 / part[0]["n"] if name == "d" else 0.0
        stated = np.maximum([row["stated"] for row in part], least)
        found = np.maximum([row["found"] for row in part], least)
        ends = [min(stated.min(), found.min()) * 0.8, max(stated.max(), found.max()) * 1.25]
        axis.plot(ends, ends, color="0.7", lw=1)
        axis.plot(stated, found, _MARKS[name], ms=5, color=_COLOURS[name])
        axis.set(title=_NAMES[name], xscale="log", yscale="log", xlim=ends, ylim=ends)
        for side in (axis.xaxis, axis.yaxis):
            side.set_minor_formatter(NullFormatter())
        axis.set_xlabel("probability of a wrong d, stated" if name == "d" else "error stated")
        axis.set_ylabel("share wrong" if name == "d" else "RMSE found")


def _confusion(figure: Any, rows: list[dict[str, Any]]) -> None:
    axis = figure.subplots()
    counts = np.array([[row[f"found_{m + 1}"] for m in range(N_D)] for row in rows], float)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for k in range(N_D):
        for m in range(N_D):
            text = f"{100 * share[k, m]:.1f}" if counts[k, m] else "0"
            colour = "white" if share[k, m] > 0.5 else "black"
            axis.text(m, k, text, ha="center", va="center", color=colour, fontsize=8)
    ticks = range(N_D)
    axis.set_xticks(ticks, [str(t + 1) for t in ticks])
    axis.set_yticks(ticks, [str(t + 1) for t in ticks])
    axis.set(xlabel="most probable d", ylabel="true d", title="per cent of each true d")


def _table(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    return path
