"""The section on the classifier: what it reaches, what it confuses, and what that means."""

from __future__ import annotations

import numpy as np

from stempede.report.folder import RunFolder
from stempede.report.groups.classes import accuracy_bars, confusion_matrix
from stempede.report.groups.tables import Confusion, confusions, interval
from stempede.report.html import Html, counted, section, span, table, tag
from stempede.report.sketch import Sketch

_MOST_MATRICES = 4


def classes(run: RunFolder, sketch: Sketch) -> Html | None:
    """Return scores and confusion matrices; None where no classifier was trained or used."""
    matrices = confusions(run)
    rows = run.columns("class_scores").rows()
    if not matrices and not rows:
        return None
    shown = [_matrix(k, m, sketch) for k, m in enumerate(matrices[:_MOST_MATRICES])]
    bars = _bars(rows, sketch)
    said = dict.fromkeys(str(r["says"]) for r in rows if r.get("says"))
    return section(
        "classes",
        "Classifier",
        tag("ul", *(tag("li", s) for s in said)) if said else None,
        tag("div", *shown, *([bars] if bars else []), class_="pair"),
        _scores(rows),
        _samples(run),
    )


def _matrix(k: int, matrix: Confusion, sketch: Sketch) -> Html:
    origin, against, features, split = matrix.key
    right = sum(
        int(matrix.counts[i, matrix.predicted.index(a)]) for i, a in enumerate(matrix.actual)
    )
    total = int(matrix.counts.sum())
    return sketch(
        "confusion" if k == 0 else f"confusion-{k + 1}",
        f"Confusion matrix against {against}",
        f"{origin}, judged against {against}, features {features}, split by {split}: "
        f"{right:,} of {counted(total, 'particle')} named as labelled "
        f"({100 * right / max(1, total):.1f} %). Shade: share of each label.",
        confusion_matrix,
        matrix.counts,
        matrix.actual,
        matrix.predicted,
    )


def _bars(rows: list[dict[str, object]], sketch: Sketch) -> Html | None:
    """Return the accuracy of feature sets, of the first split that has several."""
    kinds = dict.fromkeys(
        (r["origin"], r["judged_against"], r["split"], r["measure"])
        for r in rows
        if r["score"] == "accuracy"
    )
    for kind in kinds:
        mine = [
            r
            for r in rows
            if (r["origin"], r["judged_against"], r["split"], r["measure"]) == kind
            and r["score"] == "accuracy"
        ]
        if len(mine) < 2:
            continue
        chance = [float(str(r["chance"])) for r in mine]
        return sketch(
            "class-accuracy",
            "Accuracy by feature set",
            f"{kind[0]}, judged against {kind[1]}, split by {kind[2]}, {kind[3]}; lines: 95 % CI, "
            "images as units.",
            accuracy_bars,
            [f"{r['features']} ({r['n_features']})" for r in mine],
            [interval(r) for r in mine],
            float(np.nanmax(chance)) if np.isfinite(chance).any() else float("nan"),
        )
    return None


def _scores(rows: list[dict[str, object]]) -> Html | None:
    if not rows:
        return None
    lines = []
    for r in rows:
        score = interval(r)
        lines.append(
            [
                *(str(r[k]) for k in ("origin", "judged_against", "features", "split", "measure")),
                str(r["score"]),
                100 * score.value,
                span(score.low, score.high, "", 100),
                100 * float(str(r["chance"])),
                int(str(r["n"])),
                int(str(r["n_frames"])),
            ]
        )
    return table(
        (
            *("origin", "judged against", "features", "split", "measure", "score"),
            *("value, %", "95 % CI", "largest class, %", "particles", "images"),
        ),
        lines,
        caption="Scores of the classifier. Judged against groups or samples they say how far "
        "these labels can be told apart, not whether they are right; against truth they do.",
        sortable=True,
        tall=len(lines) > 14,
    )


def _samples(run: RunFolder) -> Html | None:
    rows = run.columns("sample_groups").rows()
    if not rows:
        return None
    lines = [
        [
            str(r["sample"]) or "all",
            str(r["kind"]),
            str(r["name"]),
            int(r["n"]),
            100 * float(r["fraction"]),
            span(float(r["ci_low"]), float(r["ci_high"]), "", 100),
            100 * float(r["difference"]),
            float(r["cohens_h"]),
            float(r["p_holm"]),
        ]
        for r in rows
    ]
    return table(
        (
            *("sample", "by", "name", "particles", "share, %", "95 % CI, %"),
            *("less all others, %", "Cohen's h", "p (Holm)"),
        ),
        lines,
        caption="Share of each group or class in each sample: edge-weighted, frames or areas as "
        "units.",
        sortable=True,
        tall=len(lines) > 14,
    )
