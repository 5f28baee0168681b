"""Columns tables of simulated dots with positions drawn from their covariance: no images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stempede.columns.tables import COLUMNS, CRYSTALS
from stempede.frames import Calibration, FrameRecord, frames_table
from stempede.simulate.columns import Dot, Scan, Scene, lay_out
from stempede.tables import Table


@dataclass(frozen=True)
class Noise:
    """Position error per axis of Pb+X, Cs and X columns, pm, and the scan it belongs to."""

    pm: tuple[float, float, float]
    dose: float

    def px(self, pixel_size_nm: float) -> dict[str, float]:
        """Return the errors by species, px."""
        names = ("Pb+X", "Cs", "X")
        return {n: e / 1000 / pixel_size_nm for n, e in zip(names, self.pm, strict=True)}


NOISE = {
    # bound of each column at that dose and on that detector
    "p04": Noise((9.6, 18.8, 20.4), 200),
    "p05": Noise((6.0, 11.6, 12.5), 500),
    "p10": Noise((8.5, 19.4, 20.6), 300),
}
_SCAN = Scan(height_px=640, width_px=640)


def draw(
    dot: Dot,
    noise: Noise,
    seed: tuple[int, ...],
    *,
    frame: int = 0,
    sample: str = "",
    varied: float = 0.2,
) -> tuple[dict[str, Table], dict[str, Table]]:
    """Return tables as the stages write them, and the truth.

    Each column's covariance is its own: sizes vary by ``varied`` (log-normal) and shapes are
    oblique, so that equal weights are not right by accident.
    """
    rng = np.random.default_rng(seed)
    truth = lay_out(Scene((dot,), _SCAN), frame, int(rng.integers(2**31)))
    t = truth["truth_columns"]
    size = noise.px(_SCAN.pixel_size_nm)
    scale = np.array([size[s] for s in t["species"]])
    scale = scale * np.exp(varied * rng.standard_normal(len(t)))
    ratio = np.exp(0.5 * varied * rng.standard_normal(len(t)))
    rho = 0.5 * varied * rng.uniform(-1, 1, len(t))
    se_y, se_x = scale * ratio, scale / ratio
    u, v = rng.standard_normal((2, len(t)))
    columns = {
        "frame": np.full(len(t), frame),
        "crystal": np.zeros(len(t)),
        "column": np.arange(len(t)),
        "y_px": t["y_px"] + se_y * u,
        "x_px": t["x_px"] + se_x * (rho * u + np.sqrt(1 - rho**2) * v),
        "se_y_px": se_y,
        "se_x_px": se_x,
        "cov_yx_px2": rho * se_y * se_x,
        "state": np.full(len(t), "CONVERGED"),
        "significance": np.full(len(t), 9.0),
        "accepted": np.ones(len(t), bool),
        "reject_reason": np.full(len(t), ""),
        **{name: t[name] for name in ("species", "i", "j")},
        "p_species": np.ones(len(t)),
    }
    size_nm = _SCAN.pixel_size_nm
    record = FrameRecord(
        frame,
        "simulated",
        frame,
        _SCAN.shape,
        "uint16",
        Calibration(size_nm, size_nm, "file", 0.0),
        labels={"sample": sample},
    )
    row = {k: truth["truth_crystals"][k][0] for k in ("a_y_px", "a_x_px", "b_y_px", "b_x_px")}
    tables = {
        "columns": Table(COLUMNS, columns),
        "crystals": Table.from_rows(CRYSTALS, [{"frame": frame, "crystal": 0, **row}]),
        "frames": frames_table([record]),
    }
    return tables, truth


def together(parts: list[dict[str, Table]]) -> dict[str, Any]:
    """Stack the tables of several frames."""
    return {name: Table.concat([p[name] for p in parts]) for name in parts[0]}
