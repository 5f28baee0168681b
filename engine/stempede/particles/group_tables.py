"""Tables that the grouping writes beside ``groups`` and the group of each particle."""

from __future__ import annotations

from stempede.tables import Field, Schema, declare


def _text(name: str, doc: str) -> Field:
    return Field(name, "string", doc=doc)


def _whole(name: str, doc: str) -> Field:
    return Field(name, "int64", doc=doc, nullable=True)


def _real(name: str, doc: str) -> Field:
    return Field(name, "float64", doc=doc)


GROUP_SCORES = declare(
    Schema(
        "group_scores",
        (
            _text("feature_set", "default | features | shape | published"),
            _text("method", "modes | k-means | mixture | hierarchical"),
            Field("chosen", "bool", doc="the partition that the particles' group is of"),
            _whole("k", "groups"),
            _text("k_by", "valleys | silhouette | given | one group"),
            _real("silhouette", "of the partition, in the scaled features of its own set"),
            _real("cophenetic", "of Ward's tree with the distances; it does not see the partition"),
            _real("bootstrap_ari", "mean adjusted Rand index of partitions of resampled frames"),
            _real("bootstrap_ari_least", "least of the resamples"),
            _real("bootstrap_same_k", "share of the resamples with the same number of groups"),
            _whole("n_bootstraps", "resamples"),
            _text("bootstrap_unit", "frame | particle: what is drawn anew"),
            _real("ari_to_chosen", "adjusted Rand index with the chosen partition"),
            _whole("n_learned", "particles it was learned from"),
            _whole("n_features", "features that were used"),
            _text("features", "used, in order"),
            _text("missing", "features of the set that this run does not have"),
            _text("dropped", "features that are constant, or repeat an earlier one (|r| > 0.95)"),
            _text("unit", "of lengths: nm | px"),
            _text("note", "why groups are few, or none were looked for"),
        ),
    )
)
"""One row per feature set and method."""

GROUP_K = declare(
    Schema(
        "group_k",
        (
            _text("feature_set", "as in group_scores"),
            _text("method", "as in group_scores"),
            _whole("k", "groups"),
            _real("silhouette", "larger is better; cannot speak of one group"),
            _real("gap", "gap statistic of k-means, larger is better"),
            _real("gap_se", "standard error of the gap"),
            _real("bic", "of a mixture of k normal distributions, smaller is better"),
            _real("valley_z", "modes: rise above the least clear valley, standard deviations"),
            _real("valley_depth", "modes: height of that valley over the lower peak"),
            Field("chosen", "bool", doc="the number of groups of this method and set"),
        ),
    )
)
"""One row per feature set, method and number of groups that was looked at."""

GROUP_TREE = declare(
    Schema(
        "group_tree",
        (
            _whole("left", "leaf below n, or n + the row of an earlier join"),
            _whole("right", "the other side of the join, numbered alike"),
            _real("height", "Ward's distance in scaled features"),
            _whole("count", "leaves below"),
        ),
    )
)
"""Ward's tree of a sample of the particles, a row per join."""

GROUP_LEAVES = declare(
    Schema(
        "group_leaves",
        (
            _whole("leaf", "from 0, as group_tree numbers it"),
            _whole("frame", "image of the particle"),
            _whole("particle", "its number in that image"),
            _whole("group", "its group"),
        ),
    )
)
"""The particles that are the leaves of ``group_tree``."""

GROUP_COMPONENTS = declare(
    Schema(
        "group_components",
        (
            _whole("component", "from 0, by variance"),
            _real("variance", "of the scaled features along it"),
            _real("share", "of all variance"),
            _text("feature", "as in features of group_scores"),
            _real("loading", "part of the feature in the unit vector"),
        ),
    )
)
"""Principal components of the scaled features of the chosen set, a row per loading."""
