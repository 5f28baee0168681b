"""Board: what all viewers of a watched run look at, read from its folder.

Nothing is kept that the folder does not hold: a page that is loaded again, a second viewer and a
server that was started again see the same.
"""

from __future__ import annotations

import json
import math
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from stempede.dashboard.picture import picture
from stempede.errors import StempedeError
from stempede.io.results import Results
from stempede.live.provisional import read_provisional
from stempede.live.quality import Alerts, flagging, size_of
from stempede.live.tally import Tally, load_libraries
from stempede.tables import Table

REFRESH_S = 0.15
PICTURES = 24
"""Pictures that are kept."""
ROWS = 300
"""Frames that the table lists: the newest."""
TILTS = ("frame", "pb_y_px", "pb_x_px", "tilt_deg", "staggered_tilt_deg")
"""Fields of ``octahedra`` that are drawn."""
POINTS = 1200
"""Points of a curve, beyond which it is thinned."""


class Board:
    """The state of one run folder; ``refresh`` is cheap where nothing has changed.

    Parameters
    ----------
    run : Path
        Need not be a run yet.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.status: dict[str, Any] = {}
        self.document: dict[str, Any] = {}
        self.tally: Tally | None = None
        self.flags: dict[int, str] = {}
        self.provisional: dict[str, Table] = {}
        self.version = 0
        self.newest: int | None = None
        self._alerts: Alerts | None = None
        self._results: Results | None = None
        self._next_s = 0.0
        self._stamps: dict[str, int] = {}
        self._pictures: dict[tuple[int, int], Future[tuple[str, str]]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="stempede-picture")
        self._pool.submit(load_libraries)

    @property
    def is_columns(self) -> bool:
        """Whether this is a run of atom columns."""
        return (self.run / "octahedra").is_dir()

    def refresh(self) -> None:
        """Read what is new; at most a few times a second, however many viewers ask."""
        started = time.monotonic()
        if started < self._next_s:
            return
        try:
            self._refresh()
        except (StempedeError, OSError, ValueError):
            # half of a run: it is being begun, or removed; the next look sees more
            self._results = None
        now_s = time.monotonic()
        self._next_s = now_s + max(REFRESH_S, 4 * (now_s - started))

    def _refresh(self) -> None:
        if self._results is None and not self._opened():
            return
        assert self.tally is not None
        changed = False
        if self._is_new("live/status.json"):
            text = (self.run / "live" / "status.json").read_text(encoding="utf-8")
            self.status, changed = json.loads(text), True
        fresh = self.tally.refresh(most=200)
        if fresh:
            self.newest = max(self.tally.frames)
        if self._is_new("live/provisional/run.json"):
            self.provisional, changed = read_provisional(self.run), True
        if self._alerts is not None:
            self._alerts.update(self.tally, self.provisional.get("frames"))
            changed = changed or self.flags != self._alerts.flags
            self.flags = self._alerts.flags
        if self._is_new("run.json"):
            text = (self.run / "run.json").read_text(encoding="utf-8")
            self.document, changed = json.loads(text), True
        self.version += bool(fresh) or changed

    def _opened(self) -> bool:
        """Begin to read a run, once it is one."""
        if not (self.run / "run.json").is_file():
            return False
        self._results = Results(self.run)
        self.document = self._results.run
        recipe = self.document["recipe"]
        self.tally, self._alerts = Tally(self._results, size_of(recipe)), Alerts(flagging(recipe))
        self._pictures.clear()
        return True

    def _is_new(self, name: str) -> bool:
        try:
            stamp = (self.run / name).stat().st_mtime_ns
        except OSError:
            return False
        new, self._stamps[name] = stamp != self._stamps.get(name), stamp
        return new

    # what is drawn

    def curve(self) -> dict[str, np.ndarray]:
        """Return the running estimates against frames, thinned where they are many.

        Returns
        -------
        dict
            ``n``; ``mean low high band_low band_high`` of the mean, ``spread spread_low
            spread_high`` of σ/d.
        """
        names = "mean low high band_low band_high spread spread_low spread_high".split()
        if self.tally is None or not self.tally.curve.n:
            return {name: np.zeros(0) for name in ("n", *names)}
        curve = self.tally.curve
        step = max(1, len(curve.n) // POINTS)
        rows = sorted({*range(0, len(curve.n), step), len(curve.n) - 1})
        table = {"n": np.array([curve.n[k] for k in rows], dtype=float)}
        mean, spread = [curve.mean[k] for k in rows], [curve.spread[k] for k in rows]
        value, half = _column(mean, "value"), _column(mean, "half_width")
        band = np.array([e.band if e.n_units > 4 else math.nan for e in mean])
        # two or three frames give an interval that dwarfs all that follows
        half[np.array([e.n_units < 5 for e in mean])] = math.nan
        table |= {"mean": value, "low": value - half, "high": value + half}
        table |= {"band_low": value - band, "band_high": value + band}
        value, half = _column(spread, "value"), _column(spread, "half_width")
        half[np.array([e.n_units < 5 for e in spread])] = math.nan
        return table | {
            "spread": value,
            "spread_low": value - half,
            "spread_high": value + half,
        }

    def histogram(self) -> dict[str, np.ndarray]:
        """Return the weighted histogram of sizes: ``left right top``, top a share."""
        x, w = self.tally.sizes() if self.tally is not None else (np.zeros(0), np.zeros(0))
        if len(x) < 2:
            return {name: np.zeros(0) for name in ("left", "right", "top")}
        low, high = np.quantile(x, (0.001, 0.999))
        bins = int(np.clip(np.sqrt(len(x)), 10, 60))
        top, edges = np.histogram(x, bins, (low, max(high, low + 1e-9)), weights=w)
        return {"left": edges[:-1], "right": edges[1:], "top": top / w.sum()}

    def rows(self) -> dict[str, list[Any]]:
        """Return the newest frames as columns of a table."""
        names = ("frame", "file", "state", "found", "accepted", "size", "focus", "flags")
        columns: dict[str, list[Any]] = {name: [] for name in names}
        if self.tally is None:
            return columns
        found = "n_columns" if self.is_columns else "n_particles"
        for n in sorted(self.tally.frames, reverse=True)[:ROWS]:
            seen = self.tally.frames[n]
            facts, sums = seen.facts, seen.sums
            page = f" · {facts['page']}" if facts["page"] else ""
            accepted = facts["n_columns" if self.is_columns else "n_accepted"]
            columns["frame"].append(n)
            columns["file"].append(Path(str(facts["source"])).name + page)
            columns["state"].append(facts["state"])
            columns["found"].append(max(facts[found] or 0, 0))
            columns["accepted"].append(max(accepted or 0, 0))
            columns["size"].append(sums[1] / sums[0] if sums[0] else math.nan)
            columns["focus"].append(facts["focus"])
            columns["flags"].append(self.flags.get(n, ""))
        return columns

    def layers(self) -> dict[str, np.ndarray]:
        """Return the oriented tilt by layer, of the view of most dots: ``layer mean low high``."""
        names = ("layer", "mean", "low", "high")
        table = self.provisional.get("layers")
        if table is None:
            return {name: np.zeros(0) for name in names}
        pooled = (table["frame"] < 0) & (table["layer"] >= 0)
        pooled &= np.asarray(table["quantity"] == "staggered_tilt_deg")
        rows = table.take(pooled)
        if len(rows):
            most = rows["view"][np.argmax(rows["n_crystals"])]
            rows = rows.take(np.asarray(rows["view"] == most))
        order = np.argsort(rows["layer"])
        mean, se = rows["mean"][order], rows["se"][order]
        return {
            "layer": rows["layer"][order].astype(float),
            "mean": mean,
            "low": mean - 1.96 * se,
            "high": mean + 1.96 * se,
        }

    def tilts(self, frame: int | None) -> dict[str, np.ndarray]:
        """Return the octahedra of a frame: ``y x radius tilt``, radii half of what parts them."""
        found = None
        if self._results is not None and frame is not None and self.tally is not None:
            number = self.tally.part_of(frame)
            found = None if number is None else self._results.read_part("octahedra", number, TILTS)
        if found is None:
            return {name: np.zeros(0) for name in ("y", "x", "radius", "tilt")}
        here = (found["frame"] == frame) & np.isfinite(found["tilt_deg"])
        fields = {"y": "pb_y_px", "x": "pb_x_px", "tilt": "staggered_tilt_deg"}
        places = {name: found[field][here] for name, field in fields.items()}
        return {**places, "radius": _half_spacing(places["y"], places["x"])}

    def picture(self, frame: int) -> tuple[str, str]:
        """Return a frame with what was found in it, as a data URI, and a line about it."""
        return self._drawing(frame).result()

    def picture_soon(self, frame: int) -> tuple[str, str] | None:
        """Return that picture, None while it is drawn: beside what answers viewers."""
        drawing = self._drawing(frame)
        return drawing.result() if drawing.done() else None

    def _drawing(self, frame: int) -> Future[tuple[str, str]]:
        if self.tally is None or self._results is None or frame not in self.tally.frames:
            nothing: Future[tuple[str, str]] = Future()
            nothing.set_result(("", "not measured yet"))
            return nothing
        key = (frame, self.tally.written_at(frame))
        if key not in self._pictures:
            # what was asked for last comes first; others ask again
            passed = [k for k, drawing in self._pictures.items() if drawing.cancel()]
            for old in [*passed, *list(self._pictures)[: -PICTURES + 1]]:
                self._pictures.pop(old, None)
            part, facts = self.tally.part_of(frame), self.tally.frames[frame].facts
            signal = self.document.get("source_options", {}).get("signal")
            self._pictures[key] = self._pool.submit(_drawn, self._results, facts, part, signal)
        return self._pictures[key]


def _drawn(results: Results, facts: Any, part: int | None, signal: str | None) -> tuple[str, str]:
    uri, said = picture(results, facts, part, signal)
    return uri, f"{said} · {Path(str(facts['source'])).name}"


def _half_spacing(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return half of the typical distance to the nearest neighbour, for each of (n,) points."""
    from scipy.spatial import cKDTree

    if len(y) < 2:
        return np.full(len(y), 1.0)
    places = np.column_stack([y, x])
    nearest = cKDTree(places).query(places, k=2)[0][:, 1]
    return np.full(len(y), 0.5 * float(np.median(nearest)))


def _column(estimates: list[Any], name: str) -> np.ndarray:
    return np.array([getattr(e, name) for e in estimates], dtype=np.float64)
