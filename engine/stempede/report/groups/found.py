"""The section on how groups were found: number of groups, scores, tree, components."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stempede.particles.one_or_many import LEAST_Z
from stempede.report.groups import structure
from stempede.report.groups.findings import Grouped
from stempede.report.groups.tables import linkage
from stempede.report.html import Html, counted, section, table, tag
from stempede.report.sketch import Sketch

Row = dict[str, Any]
_SCORES = (
    ("silhouette", "silhouette", 3),
    ("bootstrap_ari", "bootstrap ARI", 3),
    ("bootstrap_same_k", "same K", 2),
    ("ari_to_chosen", "ARI to taken", 3),
    ("cophenetic", "cophenetic", 3),
)


def found(grouped: Grouped, sketch: Sketch) -> Html | None:
    """Return what decided on the groups; parts whose table is not there are left out."""
    scores = grouped.found.run.columns("group_scores").rows()
    chosen = next((r for r in scores if r.get("chosen")), None)
    parts = [
        _said(chosen),
        _pair(*_curves(grouped, chosen, sketch)),
        _scores(scores),
        _tree(grouped, sketch),
        _pair(*_components(grouped, sketch)),
    ]
    if not any(parts[1:]):
        return None
    return section("grouping", "How the groups were found", *parts)


def _pair(*shown: Html | None) -> Html | None:
    return tag("div", *shown, class_="pair") if any(shown) else None


def _said(chosen: Row | None) -> Html | None:
    if chosen is None:
        return None
    how = {
        "valleys": "as many groups as have valleys of density between them",
        "silhouette": "the number of groups by silhouette, one group having been ruled out first",
        "given": "the number of groups as the recipe gives it",
        "one group": "one group: no valley between any two",
    }
    words = how.get(str(chosen["k_by"]), str(chosen["k_by"]))
    dropped = f" Left out: {chosen['dropped']}." if chosen.get("dropped") else ""
    note = f" Note: {chosen['note']}." if chosen.get("note") else ""
    missing = f" Not measured in this run: {chosen['missing']}." if chosen.get("missing") else ""
    return tag(
        "p",
        f"Method {chosen['method']} on feature set {chosen['feature_set']}: {words}. Learned from "
        f"{counted(int(chosen['n_learned']), 'particle')} in {int(chosen['n_features'])} "
        f"features ({chosen['features']}).{dropped}{missing}"
        f"{note}",
        class_="note",
    )


def _curves(grouped: Grouped, chosen: Row | None, sketch: Sketch) -> list[Html | None]:
    """Return the silhouette by number of groups, and the clearest evidence for each number."""
    rows = grouped.found.run.columns("group_k").rows()
    if chosen is not None:
        rows = [r for r in rows if r["feature_set"] == chosen["feature_set"]]
    taken = len(grouped.groups)
    by_method: dict[str, list[Row]] = {}
    for row in rows:
        by_method.setdefault(str(row["method"]), []).append(row)
    curves = {m: _curve(r, "silhouette") for m, r in by_method.items()}
    curves = {m: c for m, c in curves.items() if np.isfinite(c[1]).sum() > 1}
    drawn: list[Html | None] = []
    if curves:
        drawn.append(
            sketch(
                "group-number",
                "Silhouette against the number of groups",
                "Mean silhouette by number of groups and method: 1 means that groups lie far "
                "apart, 0 that they touch. It cannot speak of one group.",
                structure.number_curves,
                curves,
                taken,
                "mean silhouette",
            )
        )
    drawn.append(
        _valleys(by_method.get("modes", []), taken, sketch) or _gap(by_method, taken, sketch)
    )
    return drawn


def _curve(rows: list[Row], score: str, spread: str = "") -> tuple[np.ndarray, ...]:
    rows = sorted(rows, key=lambda r: r["k"])
    nothing = np.full(len(rows), np.nan)
    return (
        np.array([r["k"] for r in rows], float),
        np.array([r[score] for r in rows], float),
        np.array([r[spread] for r in rows], float) if spread else nothing,
    )


def _valleys(rows: list[Row], taken: int, sketch: Sketch) -> Html | None:
    curve = _curve(rows, "valley_z")
    if np.isfinite(curve[1]).sum() < 2:
        return None
    return sketch(
        "group-valleys",
        "The least clear valley against the number of groups",
        "Rise above the least clear valley between any two of K groups, in standard deviations of "
        f"the counts: groups are joined until every valley that is left is clear: rises by "
        f"{LEAST_Z:g} (dotted) above a valley deep enough.",
        structure.number_curves,
        {"modes": curve},
        taken,
        "least clear valley,\nstandard deviations",
        LEAST_Z,
    )


def _gap(by_method: dict[str, list[Row]], taken: int, sketch: Sketch) -> Html | None:
    for rows in by_method.values():
        curve = _curve(rows, "gap", "gap_se")
        if np.isfinite(curve[1]).sum() > 1:
            return sketch(
                "group-gap",
                "Gap statistic against the number of groups",
                "Gap statistic of k-means with its standard error: K is where it stops to rise.",
                structure.number_curves,
                {"gap": curve},
                taken,
                "gap statistic",
            )
    return None


def _scores(rows: list[Row]) -> Html | None:
    """Return methods by feature sets: what each partition reaches."""
    if not rows:
        return None
    lines: list[list[Any]] = []
    for row in rows:
        name = f"{row['method']}, taken" if row["chosen"] else str(row["method"])
        line: list[Any] = [
            str(row["feature_set"]),
            tag("strong", name) if row["chosen"] else name,
            int(row["n_features"]),
            int(row["k"]) if row["k"] is not None and row["k"] >= 0 else math.nan,
            str(row["k_by"]),
        ]
        line += [_score(row[field], digits) for field, _, digits in _SCORES]
        line.append(str(row["note"]))
        lines.append(line)
    heads = ["features", "method", "n", "K", "K by", *(t for _, t, _ in _SCORES), "note"]
    keep = [k for k, _ in enumerate(heads) if any(_says(line[k]) for line in lines)]
    return table(
        [heads[k] for k in keep],
        [[line[k] for k in keep] for line in lines],
        caption="Methods by feature sets. Silhouette scores the partition in the features of its "
        "own set, so it compares methods, not sets. Bootstrap ARI: mean adjusted Rand index "
        "(1: the same) of partitions of resampled frames, and the share of them with the same "
        "K. ARI to taken: agreement with the groups of this page. Cophenetic: of the tree with the "
        "distances, the same whatever the partition.",
        sortable=True,
    )


def _score(value: Any, digits: int) -> float:
    known = isinstance(value, (int, float)) and math.isfinite(value)
    return round(float(value), digits) if known else math.nan


def _says(value: Any) -> bool:
    return bool(value) if isinstance(value, str) else math.isfinite(value)


def _tree(grouped: Grouped, sketch: Sketch) -> Html | None:
    run = grouped.found.run
    tree = linkage(run)
    if tree is None:
        return None
    joins, _ = tree
    leaves = run.columns("group_leaves")
    colours: dict[int, str] = {}
    if len(leaves) == len(joins) + 1:
        number = np.asarray(leaves["group"], float)[np.argsort(leaves["leaf"])]
        by_group = {g.number: g.colour for g in grouped.groups}
        colours = structure.colours_of_branches(joins, number, by_group)
    figure = sketch(
        "dendrogram",
        "Dendrogram of the particles",
        f"Ward's tree of {counted(len(joins) + 1, 'particle')} chosen at random, its last "
        f"{min(structure.MOST_BRANCHES, len(joins) + 1)} branches. Coloured where nine tenths of "
        "a branch are of one group, grey where groups mix. The tree is for comparison: groups are "
        "cut from it by the hierarchical method alone.",
        structure.dendrogram,
        joins,
        colours,
    )
    return tag("div", figure, class_="broad")


def _components(grouped: Grouped, sketch: Sketch) -> list[Html | None]:
    rows = grouped.found.run.columns("group_components").rows()
    if not rows:
        return []
    features = list(dict.fromkeys(str(r["feature"]) for r in rows))
    n = 1 + max(int(r["component"]) for r in rows)
    shares, loadings = np.zeros(n), np.zeros((n, len(features)))
    for row in rows:
        k = int(row["component"])
        shares[k] = float(row["share"])
        loadings[k, features.index(str(row["feature"]))] = float(row["loading"])
    if not np.isfinite(shares).all():
        return []
    enough = 1 + int(np.searchsorted(np.cumsum(shares), 0.95))
    drawn = min(n, max(2, enough), 8)
    return [
        sketch(
            "components",
            "Pareto chart of the principal components",
            f"Variance of the scaled features along each principal component, and their sum: "
            f"{counted(min(enough, n), 'component')} of {n} hold 95 %.",
            structure.pareto,
            shares,
        ),
        sketch(
            "component-loadings",
            "Loadings of the features on the principal components",
            f"What the first {drawn} components are made of: the part of each feature in them.",
            structure.loadings,
            loadings[:drawn],
            features,
        ),
    ]
