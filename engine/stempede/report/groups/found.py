"""The section on how groups were found: number of groups, scores, tree, components."""

from __future__ import annotations

from typing import Any

import numpy as np

from stempede.report.groups import structure
from stempede.report.groups.findings import Grouped
from stempede.report.groups.tables import linkage
from stempede.report.html import Html, section, table, tag
from stempede.report.sketch import Sketch


def found(grouped: Grouped, sketch: Sketch) -> Html | None:
    """Return what decided on the groups; parts whose table is not there are left out."""
    parts = [
        _pair(_curve(grouped, sketch), _components(grouped, sketch)),
        _tree(grouped, sketch),
        _scores(grouped),
    ]
    if not any(parts):
        return None
    return section("grouping", "How the groups were found", *parts)


def _pair(*shown: Html | None) -> Html | None:
    return tag("div", *shown, class_="pair") if any(shown) else None


def _curve(grouped: Grouped, sketch: Sketch) -> Html | None:
    table_ = grouped.found.run.columns("group_k")
    if not len(table_) or "silhouette" not in table_:
        return None
    k = np.asarray(table_["k"], float)
    score = np.asarray(table_["silhouette"], float)
    curves = {"silhouette": (k, score, np.full(len(k), np.nan))}
    return sketch(
        "group-number",
        "Silhouette against the number of groups",
        "Mean silhouette by number of groups: 1 means that groups lie far apart, 0 that they "
        "touch. It says nothing of K = 1, which is tested first.",
        structure.number_curves,
        curves,
        len(grouped.groups),
        "mean silhouette",
    )


def _components(grouped: Grouped, sketch: Sketch) -> Html | None:
    table_ = grouped.found.run.columns("group_components")
    if not len(table_):
        return None
    return None


def _tree(grouped: Grouped, sketch: Sketch) -> Html | None:
    tree = linkage(grouped.found.run)
    if tree is None:
        return None
    joins, _ = tree
    return sketch(
        "dendrogram",
        "Dendrogram of the particles",
        f"Tree of {len(joins) + 1:,} particles drawn at random; the last "
        f"{structure.MOST_BRANCHES} branches are shown.",
        structure.dendrogram,
        joins,
        {},
    )


def _scores(grouped: Grouped) -> Html | None:
    table_ = grouped.found.run.columns("group_scores")
    if not len(table_):
        return None
    rows: list[list[Any]] = [list(r.values()) for r in table_.rows()]
    return table([n.replace("_", " ") for n in table_.values], rows)
