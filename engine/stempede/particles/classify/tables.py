"""Tables of the classifier: how well classes are told apart, and how samples share them."""

from __future__ import annotations

from typing import Any

import numpy as np

from stempede.tables import Field, Schema, Table, declare

SEPARABLE = (
    "separable: how far these features tell apart labels that were made from such features; "
    "it does not say that the labels are right"
)
TELLS_SAMPLES = (
    "separable: how far single particles tell which sample they come from; where samples "
    "differ in anything but shape (focus, dose, crowding) that counts too"
)
CORRECT = "correct: agreement with the simulated truth, which no real image has"
AGREES = "agreement with this run's own labels; none of the two is the truth"

CLASS_FIELDS = (
    Field("class_name", "string", doc="class given by the model, null where none could be"),
    Field("p_class", "float64", doc="calibrated probability of that class under the model"),
)
"""Fields of ``particles`` in runs that were classified."""

CLASS_SCORES = declare(
    Schema(
        "class_scores",
        (
            Field("origin", "string", doc="train group | train sample | train truth | classify"),
            Field("judged_against", "string", doc="group | sample | truth: what a hit is"),
            Field("features", "string", doc="name of the feature set"),
            Field("n_features", "int64", doc="features in the set"),
            Field("with_shape", "bool", doc="p, d, L are among the features"),
            Field("split", "string", doc="particle | image | leave one image out | session"),
            Field("measure", "string", doc="held out 20 % | 10-fold | each image left out | ..."),
            Field("score", "string", doc="accuracy | balanced accuracy"),
            Field("value", "float64", doc="the score, 0 to 1"),
            Field("ci_low", "float64", doc="95 %, images as clusters; null: not available"),
            Field("ci_high", "float64", doc="upper end of that interval"),
            Field("chance", "float64", doc="the same score of always naming the largest class"),
            Field("n", "int64", doc="particles judged"),
            Field("n_frames", "int64", doc="images they lie on"),
            Field("n_classes", "int64", doc="labels that occur"),
            Field("C", "float64", doc="of the support vector machine"),
            Field("gamma", "float64", doc="of its radial kernel, on standardised features"),
            Field("trials", "int64", doc="of the search for C and gamma"),
            Field("saved", "bool", doc="the model that was saved"),
            Field("says", "string", doc="what the number means, and what it does not"),
            Field("note", "string", doc="classes or images that were left out"),
        ),
    )
)

CONFUSION = declare(
    Schema(
        "confusion",
        (
            Field("origin", "string", doc="as in class_scores"),
            Field("judged_against", "string", doc="group | sample | truth"),
            Field("features", "string", doc="name of the feature set"),
            Field("split", "string", doc="particle | image | leave one image out | session"),
            Field("actual", "string", doc="label that a particle has"),
            Field("predicted", "string", doc="class that the model gives it"),
            Field("n", "int64", doc="particles"),
            Field("fraction", "float64", doc="of the particles with this label"),
        ),
    )
)

SAMPLE_GROUPS = declare(
    Schema(
        "sample_groups",
        (
            Field("kind", "string", doc="group | class: what particles are sorted by"),
            Field("sample", "string", doc="label of the sample, null for the session"),
            Field("name", "string", doc="group or class"),
            Field("n", "int64", doc="particles of the sample in it"),
            Field("n_sample", "int64", doc="particles of the sample in any"),
            Field("n_frames", "int64", doc="images of the sample that were measured"),
            Field("n_units", "int64", doc="sampling units"),
            Field("fraction", "float64", doc="edge-weighted share"),
            Field("ci_low", "float64", doc="95 %, images or areas as clusters; null: none"),
            Field("ci_high", "float64", doc="upper end of that interval"),
            Field("difference", "float64", doc="from the share in all other samples together"),
            Field("difference_low", "float64", doc="95 %"),
            Field("difference_high", "float64", doc="upper end of that interval"),
            Field("cohens_h", "float64", doc="effect size of that difference"),
            Field("p", "float64", doc="no difference: units dealt to samples at random"),
            Field("p_holm", "float64", doc="corrected for all samples and names of this kind"),
            Field("note", "string", doc="why there is no interval or no test"),
        ),
    )
)


def text(column: Any) -> np.ndarray:
    """Return a column of strings as an array of fixed width, which compares and sorts fast."""
    return np.array(column.tolist(), dtype=np.str_)


def merged(old: Table | None, new: Table, key: str = "origin") -> Table:
    """Return the rows of an older table with those of the same origins replaced by new ones."""
    if old is None or not len(old) or old.schema != new.schema:
        return new
    stale = set(new[key].tolist())
    kept = [k for k, origin in enumerate(old[key].tolist()) if origin not in stale]
    return Table.concat([old.take(kept), new]) if kept else new
