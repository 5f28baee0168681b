"""What grouping finds on simulated populations, against their truth.

Run from the repository: ``PYTHONPATH=tests python -m accuracy.study_groups --scale 1``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import cross_val_score

from accuracy.record import command_line
from accuracy.route import measure
from outlined_groups import drawn, frames_of
from stempede.particles.choice_of_k import bic_curve, gap_curve, k_of_gap, silhouette_curve
from stempede.particles.feature_sets import features, learn_scale
from stempede.particles.groups import Groups
from stempede.simulate.micrograph import render
from stempede.simulate.mixture import Group, Mixture, load_mixture
from stempede.tables import Table

DRAWS = 50
PARTICLES = 1500
SEPARABLE = 0.98
# p from, p to, d, l_ratio from, l_ratio to
KINDS = {
    "disc": (2.0, 2.0, 2, 1.0, 1.0),
    "ellipse": (2.0, 2.0, 2, 1.6, 2.0),
    "cube": (6.0, 10.0, 2, 1.0, 1.0),
    "plate": (6.0, 10.0, 2, 1.5, 1.8),
    "rod": (5.0, 8.0, 2, 2.8, 3.6),
    "triangle": (1.4, 1.6, 3, 1.8, 2.0),
    "three-pointed star": (1.0, 1.2, 3, 2.4, 2.8),
    "four-pointed star": (0.8, 0.95, 2, 1.0, 1.0),
    "five-pointed star": (1.1, 1.3, 5, 2.0, 2.4),
    "urchin": (0.7, 0.9, 6, 1.0, 1.0),
    "needle": (1.0, 1.2, 2, 3.0, 4.0),
    "drop": (2.0, 2.5, 1, 1.8, 2.2),
    "large cube": (6.0, 10.0, 2, 1.0, 1.0),
}
# how many draws the rules that were not chosen are tried on, which take far longer
_COMPARED_EVERY = 5
_COMPARED_PARTICLES = 800
_MOST = 12


def several(rng: np.random.Generator) -> tuple[Group, ...]:
    """Draw a population of 3 to 8 groups of shares up to four to one."""
    names = rng.choice(list(KINDS), int(rng.integers(3, 9)), replace=False)
    return tuple(
        _group(
            str(name),
            rng,
            share=float(rng.uniform(0.4, 1.6)),
            size_nm=float(rng.uniform(24, 32) if name == "large cube" else rng.uniform(9, 15)),
            relative_sd=float(rng.uniform(0.08, 0.18)),
            p_spread=0.06,
            l_spread=0.04,
        )
        for name in names
    )


def broad(rng: np.random.Generator) -> tuple[Group, ...]:
    """Draw one group of any shape, of broad log-normal sizes and exponents."""
    return (
        _group(
            str(rng.choice(list(KINDS))),
            rng,
            size_nm=float(rng.uniform(9, 16)),
            relative_sd=float(rng.uniform(0.25, 0.45)),
            p_spread=float(rng.uniform(0.05, 0.25)),
            l_spread=float(rng.uniform(0.02, 0.1)),
        ),
    )


def _group(name: str, rng: np.random.Generator, **fields: float) -> Group:
    p0, p1, d, l0, l1 = KINDS[name]
    p, l_ratio = float(rng.uniform(p0, p1)), float(rng.uniform(l0, l1))
    return Group(name, p=p, d=d, l_ratio=l_ratio, **fields)


def study(scale: float, seed: int = 0) -> dict[str, Any]:
    """Return how often the number of groups and the particles of each are found."""
    draws = max(round(DRAWS * scale), 1)
    many = [one_draw(several, seed, k) for k in range(draws)]
    one = [one_draw(broad, seed + 1, k) for k in range(draws)]
    return {
        "seed": seed,
        "draws": draws,
        "particles": PARTICLES,
        "groups": {name: summary(many, name) for name in ("default", "features")},
        "one": {name: sum(d[name]["k"] == 1 for d in one) for name in ("default", "features")},
        "other rules": {"groups": others(many), "one": others(one)},
        "images": {
            name: through_images(name, max(round(12 * scale), 1), seed) for name in ("four", "one")
        },
        "misses": [d for d in many if not all(right(d, n) for n in ("default", "features"))],
    }


def one_draw(population: Any, seed: int, number: int) -> dict[str, Any]:
    """Draw one population and group it with shape parameters and without."""
    rng = np.random.default_rng([seed, number])
    groups = population(rng)
    particles, truth = drawn(groups, PARTICLES, rng)
    tables = {"frames": frames_of(40), "particles": particles}
    found: dict[str, Any] = {
        "draw": number,
        "true_k": len(groups),
        "names": [g.name for g in groups],
    }
    for feature_set in ("default", "features"):
        group = Groups(feature_set, compare=False, bootstraps=0)(tables)["particles"]["group"]
        found[feature_set] = {
            "k": int(group.max()) + 1,
            "ari": float(adjusted_rand_score(truth, group)),
            "linear": _linear(particles, truth, feature_set),
        }
    if number % _COMPARED_EVERY == 0:
        found["rules"] = _other_rules(particles)
    return found


def right(draw: dict[str, Any], feature_set: str) -> bool:
    """Whether a draw's groups were found, or could not be told apart by a line either."""
    found = draw[feature_set]
    separable = found["linear"] >= SEPARABLE
    return not separable or (found["k"] == draw["true_k"] and found["ari"] >= 0.95)


def summary(draws: list[dict[str, Any]], feature_set: str) -> dict[str, Any]:
    """Count over the draws whose true groups a line can tell apart."""
    separable = [d for d in draws if d[feature_set]["linear"] >= SEPARABLE]
    ari = [d[feature_set]["ari"] for d in separable]
    return {
        "separable": len(separable),
        "k_right": sum(d[feature_set]["k"] == d["true_k"] for d in separable),
        "ari_above_0.95": sum(a >= 0.95 for a in ari),
        "ari_mean": float(np.mean(ari)) if ari else float("nan"),
        "ari_least": min(ari, default=float("nan")),
    }


def others(draws: list[dict[str, Any]]) -> dict[str, int]:
    """Count in how many draws each other rule gives the true number of groups."""
    tried = [d for d in draws if "rules" in d]
    names = ("silhouette", "gap", "bic")
    counts = {n: sum(d["rules"][n] == d["true_k"] for d in tried) for n in names}
    return {"draws": len(tried), **counts}


def _linear(particles: Table, truth: np.ndarray, feature_set: str) -> float:
    """Accuracy of a linear classifier that is told the truth, by three-fold cross-validation."""
    if len(np.unique(truth)) < 2:
        return 1.0
    found = features(particles, np.arange(len(particles)), feature_set)
    x = learn_scale(found)(found.values)
    return float(cross_val_score(LinearDiscriminantAnalysis(), x, truth, cv=3).mean())


def _other_rules(particles: Table) -> dict[str, int]:
    """Return the number of groups by the silhouette of k-means, the gap statistic and BIC."""
    found = features(particles, np.arange(_COMPARED_PARTICLES), "default")
    x = learn_scale(found)(found.values)
    curve = silhouette_curve(x, "k-means", _MOST, 0)
    bic = bic_curve(x, _MOST, 0)
    return {
        "silhouette": curve.ks[int(np.argmax(curve.silhouettes))],
        "gap": k_of_gap(gap_curve(x, _MOST, 0)),
        "bic": min(bic, key=lambda k: bic[k]),
    }


def through_images(name: str, n: int, seed: int) -> dict[str, Any]:
    """Group what the whole route finds on micrographs, a third of the particles touching."""
    mixture = load_mixture(name, {"height_px": 1024, "width_px": 1024, "touching": 1 / 3})
    labels, tables = measure(mixture, n, seed)
    truth, group = _matched(mixture, labels, tables["particles"], seed)
    return {
        "frames": n,
        "accepted": int(tables["particles"]["accepted"].sum()),
        "matched": len(truth),
        "true_k": len(mixture.groups),
        "k": int(group.max(initial=-1)) + 1,
        "ari": float(adjusted_rand_score(truth, group)),
        "shapes_fitted": bool(np.isfinite(tables["particles"]["p"]).any()),
    }


def _matched(
    mixture: Mixture, labels: np.ndarray, particles: Table, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the true and the found group of accepted particles that cover half of a true one."""
    true, found = [], []
    accepted = particles.take(particles["accepted"])
    for frame in range(len(labels)):
        _, true_labels, table = render(mixture, frame, seed)
        here = accepted.take(accepted["frame"] == frame)
        for label, group in zip(here["label"], here["group"], strict=True):
            inside = np.bincount(true_labels[labels[frame] == label], minlength=len(table) + 1)
            best = int(inside[1:].argmax()) + 1
            if 2 * inside[best] > max((true_labels == best).sum(), inside.sum()):
                true.append(int(table["group"][best - 1]))
                found.append(int(group))
    return np.array(true, dtype=int), np.array(found, dtype=int)


if __name__ == "__main__":
    command_line("groups", study)
