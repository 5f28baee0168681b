"""The shape network's part of the page: what its card says, and what it said in this run."""

from __future__ import annotations

import base64
import json
import shutil
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stempede.errors import ModelError
from stempede.inference import find
from stempede.report import style
from stempede.report.figures import start
from stempede.report.folder import RunFolder
from stempede.report.groups.classes import confusion_matrix
from stempede.report.groups.findings import Grouped
from stempede.report.html import Html, counted, facts, join, number, tag
from stempede.report.sketch import Sketch

_STAGE = "particles.shapes"
_MOST_POINTS = 1500
_FIGURES = {
    "learning": "Learning curve",
    "quantiles": "Q–Q plots of d and of errors over stated errors",
    "rmse": "Root mean square error against true p, d and L",
    "calibration": "Calibration of the stated errors",
    "confusion": "Confusion of the most probable d",
}


def network(grouped: Grouped, sketch: Sketch) -> Html | None:
    """Return the network's card and answers; None where fits did not start from a network."""
    asked = np.isfinite(np.asarray(grouped.particles["p_network"], float))
    weights = _weights(grouped.found.run)
    if weights is None or not asked.any():
        return None
    try:
        path = find(weights)
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (ModelError, OSError, ValueError) as error:
        return tag("p", f"The card of network '{weights}' cannot be read: {error}", class_="note")
    held = card.get("held_out", {})
    shown = [_answers(grouped, np.flatnonzero(asked), sketch)]
    drawn = _diagnostics(path.parent / "diagnostics", sketch.folder)
    if not drawn and "confusion" in held:
        shown.append(_confusion(held, sketch))
    return join(
        tag("h3", "The network that fits start from"),
        _card(card, held),
        tag("div", *shown, *drawn, class_="pair"),
    )


def _weights(run: RunFolder) -> str | None:
    """Return which weights the recipe names; None where fits start from the contour."""
    for entry in tomllib.loads(str(run.document.get("recipe", ""))).get("stage", []):
        if entry["use"] == _STAGE and entry.get("start") == "network":
            return str(entry.get("weights", "shape"))
    return None


def _card(card: dict[str, Any], held: dict[str, Any]) -> Html:
    """Return what the card promises, of crops that did not train."""

    def share(name: str) -> str:
        return f"{100 * held[name]:.1f} %" if name in held else ""

    def plain(name: str) -> str:
        return number(float(held[name])) if name in held else ""

    training = card.get("training", {})
    return facts(
        [
            ("network", f"{card.get('name', '')}, sha256 {str(card.get('sha256', ''))[:12]}"),
            ("trained by", training.get("command")),
            ("judged on", counted(int(held["crops"]), "crop") if "crops" in held else ""),
            ("d right", share("d_right")),
            ("RMSE of log p", plain("rmse_log_p")),
            ("RMSE of d", plain("rmse_d")),
            ("RMSE of log L", plain("rmse_log_l")),
            ("Jaccard, outline", plain("outline_jaccard_mean")),
        ]
    )


def _confusion(held: dict[str, Any], sketch: Sketch) -> Html:
    counts = np.array(held["confusion"], np.int64)
    names = [str(k + 1) for k in range(len(counts))]
    return sketch(
        "network-confusion",
        "Confusion of d on crops that did not train",
        f"N = {counted(int(counts.sum()), 'simulated crop')} that did not train: most probable d "
        "(columns) against true d (rows).",
        confusion_matrix,
        counts,
        names,
        names,
        ("true d", "most probable d"),
    )


def _diagnostics(folder: Path, target: Path) -> list[Html]:
    """Return the figures that training left beside the weights, copied into the run."""
    shown = []
    for name, title in _FIGURES.items():
        svg = folder / f"{name}.svg"
        if not svg.is_file():
            continue
        for ending in ("svg", "png"):
            if (folder / f"{name}.{ending}").is_file():
                shutil.copyfile(folder / f"{name}.{ending}", target / f"network-{name}.{ending}")
        uri = "data:image/svg+xml;base64," + base64.b64encode(svg.read_bytes()).decode("ascii")
        picture = tag("img", src=uri, alt=title, class_="chart")
        caption = tag("figcaption", f"{title}, of simulated crops that did not train.")
        shown.append(tag("figure", picture, caption))
    return shown


def _answers(grouped: Grouped, rows: np.ndarray, sketch: Sketch) -> Html:
    chosen = np.sort(np.random.default_rng(0).permutation(rows)[:_MOST_POINTS])
    pairs = []
    for field, title, log in (("p", "p", True), ("d", "d", False), ("l_ratio", "L", True)):
        said = np.asarray(grouped.particles[f"{field}_network"], float)[chosen]
        fitted = np.asarray(grouped.particles[field], float)[chosen]
        pairs.append((said, fitted, title, log))
    return sketch(
        "network-answers",
        "The network's answers against the fits",
        f"N = {counted(len(rows), 'particle')} of this run, {len(chosen):,} drawn at random: what "
        "the network said against what was fitted from there. The line is agreement.",
        _against,
        pairs,
    )


def _against(pairs: Sequence[tuple[np.ndarray, np.ndarray, str, bool]]) -> Any:
    from matplotlib.ticker import LogLocator, NullLocator

    figure, first = start((7.4, 2.7))
    first.remove()
    for k, (said, fitted, title, log) in enumerate(pairs):
        axes = figure.add_subplot(1, 3, k + 1)
        known = np.isfinite(said) & np.isfinite(fitted)
        axes.plot(said[known], fitted[known], ".", color=style.BLUE, markersize=3, alpha=0.4)
        if known.any():
            ends = [
                float(min(said[known].min(), fitted[known].min())),
                float(max(said[known].max(), fitted[known].max())),
            ]
            axes.plot(ends, ends, color=style.MUTED, linewidth=0.8)
        if log:
            axes.set_xscale("log")
            axes.set_yscale("log")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axis.set_major_formatter("{x:g}")
                axis.set_minor_locator(NullLocator())
        axes.set_xlabel(f"{title}, network")
        axes.set_ylabel(f"{title}, fitted")
    return figure
