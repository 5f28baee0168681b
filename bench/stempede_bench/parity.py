"""The particles route on CPU and GPU: the same tables, and how fast."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from stempede_bench.cases.route import Prepared, frames_in_memory
from stempede_bench.contract import Scene
from stempede_bench.inputs import simulated

TOLERANCES = {"y_px": 0.05, "x_px": 0.05, "equivalent_diameter_px": 0.05, "contrast": 0.5}
"""Largest difference of matched particles; float32 sums differ in their order."""

LEAST_SHARE = 0.995
"""Share of particles that must have a partner within the tolerances."""


def compare() -> dict[str, Any]:
    """Run the route on both devices and match their particles by place."""
    images, _ = simulated(Scene(side=1024, batch=2))
    tables, ledger = [], {}
    for device in ("cpu", "gpu"):
        route = Prepared.of(frames_in_memory(images), device=device)
        batch = route([0, 1])
        table = batch.tables["particles"]
        tables.append({k: _host(table[k]) for k in ("frame", *TOLERANCES)})
        ledger = route.backend.ledger.as_dict()
    share = matched_share(*tables)
    between = {k: v for book in ledger.values() for k, v in book.items() if k != "read"}
    return {
        "passed": share >= LEAST_SHARE,
        "summary": f"{share:.2%} of particles agree; through the host: {between or 'nothing'}",
        "ledger": ledger,
    }


def matched_share(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> float:
    """Return the share of particles of both tables that agree in every toleranced field."""
    total = max(len(one["frame"]), len(two["frame"]))
    hits = 0
    for frame in np.unique(one["frame"]):
        a = {k: v[one["frame"] == frame] for k, v in one.items()}
        b = {k: v[two["frame"] == frame] for k, v in two.items()}
        if not len(b["frame"]):
            continue
        distance = np.hypot(a["y_px"][:, None] - b["y_px"], a["x_px"][:, None] - b["x_px"])
        nearest = distance.argmin(axis=1)
        close = [np.abs(a[k] - b[k][nearest]) <= t for k, t in TOLERANCES.items()]
        hits += int(np.logical_and.reduce(close).sum())
    return hits / max(total, 1)


def speed(repeats: int = 10) -> dict[str, Any]:
    """Time the route per frame on the GPU, one batch of 2048 x 2048 frames at a time."""
    images, labels = simulated(Scene(batch=2))
    route = Prepared.of(frames_in_memory(images), device="gpu")
    seconds = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        route([0, 1])
        route.backend.xp.cuda.Device().synchronize()
        seconds.append((time.perf_counter() - start) / len(images))
    q1, median, q3 = np.percentile(seconds[2:], (25, 50, 75))
    per_minute = 60 * labels.max(axis=(1, 2)).mean() / median
    return {
        "passed": True,
        "summary": f"{1e3 * median:.1f} ms/frame [{1e3 * q1:.1f}, {1e3 * q3:.1f}], "
        f"{per_minute:,.0f} particles/min",
        "seconds_per_frame": [float(q1), float(median), float(q3)],
    }


def _host(values: Any) -> np.ndarray:
    return np.asarray(values.get() if hasattr(values, "get") else values)
