"""What grouping finds in a run of a whole simulated session, against its truth.

``stempede simulate particles --mixture session --frames 163 --out S``, ``stempede run
S/session.zarr --out R``, then ``PYTHONPATH=tests python -m accuracy.study_session R S/truth``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow.parquet import read_table
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import cross_val_score

from accuracy.record import write
from stempede.io.results import Results
from stempede.particles.classify.truth import true_shapes
from stempede.particles.feature_sets import features, learn_scale
from stempede.tables import Table

_LEARNED = 8000


def study(run: Path, truth: Path) -> dict[str, Any]:
    """Return the agreement of groups with true shapes, and how far the truth can be told."""
    results, drawn = Results(run), read_table(truth / "particles.parquet").to_pydict()
    frames, particles = results.read("frames"), results.read("particles")
    shape = true_shapes(frames, particles, {k: np.array(v) for k, v in drawn.items()})
    group = np.asarray(particles["group"])
    rows = np.flatnonzero((shape != "") & (group >= 0))
    right = dict(zip(drawn["shape"], drawn["d"], strict=True))
    return {
        "frames": len(frames),
        "drawn": len(drawn["frame"]),
        "accepted": int(particles["accepted"].sum()),
        "matched": len(rows),
        "true_k": len(right),
        "k": int(group.max(initial=-1)) + 1,
        "ari": float(adjusted_rand_score(shape[rows], group[rows])),
        "linear": _linear(particles, rows, shape[rows]),
        "jaccard_median": float(np.nanmedian(particles["jaccard"][particles["accepted"]])),
        "shapes": {
            name: _found(particles, rows[shape[rows] == name], d) for name, d in right.items()
        },
    }


def _found(particles: Table, rows: np.ndarray, d: float) -> dict[str, Any]:
    """Return how many of one shape are in the group that holds most of them."""
    counts = np.bincount(particles["group"][rows])
    most = int(counts.argmax())
    return {
        "matched": len(rows),
        "group": most,
        "recall": float(counts[most] / len(rows)),
        "purity": float(counts[most] / (particles["group"] == most).sum()),
        "d_right": float((particles["d"][rows] == d).mean()),
    }


def _linear(particles: Table, rows: np.ndarray, shape: np.ndarray) -> float:
    """Return the accuracy of a linear classifier that is told the truth, five folds."""
    some = np.random.default_rng(0).permutation(len(rows))[:_LEARNED]
    found = features(particles, rows[some], "default")
    x = learn_scale(found)(found.values)
    return float(cross_val_score(LinearDiscriminantAnalysis(), x, shape[some], cv=5).mean())


if __name__ == "__main__":
    folders = [Path(argument) for argument in sys.argv[1:3]]
    result = study(*folders)
    print(json.dumps(result, indent=1))
    print(write("session", result))
