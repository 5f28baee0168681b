"""How well the shipped shape network does, by what makes crops hard, and when they turn."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from accuracy.record import command_line
from stempede.backend import Backend
from stempede.inference import Network
from stempede.models import heldout

SEED = 1_000_003
"""A series that trained nothing."""

CROPS = 13_000
TURNED = 2048

_SIZES_PX = (9.0, 20.0, 34.0, 60.0, 210.0)


def study(scale: float) -> dict[str, Any]:
    """Ask the network about new crops; at scale 1 there are 13,000, 2,048 of them turned."""
    network = Network.load("shape", Backend.choose("cpu"), kind="shape")
    n, turned = max(1024, int(CROPS * scale)), max(256, int(TURNED * scale))
    held = heldout.judge(network, 0, n, seed=SEED, turn=turned)
    return {
        "sha256": network.card.sha256,
        **heldout.metrics(held),
        "by_size": [_sized(held, low, high) for low, high in itertools.pairwise(_SIZES_PX)],
        "by_bin": heldout.by_bin(held),
        "by_error": heldout.by_error(held),
    }


def _sized(held: heldout.HeldOut, low: float, high: float) -> dict[str, Any]:
    """Return the figures of particles of some sizes."""
    inside = (held.truth["size_px"] >= low) & (held.truth["size_px"] < high)
    misses = {name: miss[inside] for name, miss in held.misses.items()}
    return {
        "low_px": low,
        "high_px": high,
        "n": int(inside.sum()),
        "d_right": float((held.best_d == held.truth["d"])[inside].mean()),
        "median_relative_error_p": float(np.median(np.abs(np.expm1(misses["log_p"])))),
        "median_relative_error_l": float(np.median(np.abs(np.expm1(misses["log_l"])))),
    }


if __name__ == "__main__":
    command_line("shape_network", study)
