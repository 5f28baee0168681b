"""Runs of two kinds of particles with groups and shapes, written as the reductions write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from stempede.frames import Calibration
from stempede.io.maps import MapStore
from stempede.io.results import Results
from stempede.io.sources import open_frames
from stempede.particles.ensemble import Ensemble
from stempede.particles.groups import Groups
from stempede.tables import FRAMES, PARTICLES, PROBLEMS, Field, Schema, Table

SHAPE = (90, 130)
NM = 0.5
LABELS = ("batch", "reaction_time")
RECIPE = """
name = "drawn"
[[stage]]
use = "particles.shapes"
[[reduce]]
use = "particles.ensemble"
[[reduce]]
use = "particles.groups"
k = 2
largest_k = 3
learn_from = 200
bootstraps = 0
compare = false
"""


def labelled(n: int) -> Schema:
    """Schema of frames with labels."""
    return Schema("frames", (*FRAMES.fields, *(Field(k, "string") for k in LABELS)))


def frame_table(folder: Path, n: int) -> Table:
    """Frames of two batches at three times."""
    rows = [
        {
            "frame": k,
            "source": str(folder / f"{k:02d}.tif"),
            "page": 0,
            "height_px": SHAPE[0],
            "width_px": SHAPE[1],
            "pixel_size_nm": NM,
            "pixel_size_source": "set",
            "pixel_size_rel_u": 0.01,
            "sample": "s",
            "state": "measured",
            "batch": "A" if k < n // 2 else "B",
            "reaction_time": f"{(1, 5, 20)[k % 3]} min",
        }
        for k in range(n)
    ]
    return Table.from_rows(labelled(n), rows)


def particle_table(n_frames: int, per_frame: int, long_share: float, seed: int) -> Table:
    """Discs, and rods of twice the length; frames of batch B hold larger ones."""
    rng = np.random.default_rng(seed)
    n = n_frames * per_frame
    frame = np.repeat(np.arange(n_frames), per_frame)
    rod = rng.random(n) < long_share
    size = 16 * np.exp(rng.normal(0, 0.08, n)) * np.where(frame < n_frames // 2, 1.0, 1.25)
    ratio = np.where(rod, 2.4, 1.05) * np.exp(rng.normal(0, 0.03, n))
    major, minor = size * np.sqrt(ratio), size / np.sqrt(ratio)
    area = np.pi / 4 * major * minor
    y, x = rng.uniform(20, SHAPE[0] - 20, n), rng.uniform(25, SHAPE[1] - 25, n)
    lengths = {"major_axis": major, "minor_axis": minor, "equivalent_diameter": size}
    lengths |= {"min_rect_length": major, "min_rect_width": minor, "perimeter": 3.3 * size}
    columns = {f"{k}_px": v for k, v in lengths.items()}
    columns |= {f"{k}_nm": v * NM for k, v in lengths.items()}
    noise = rng.normal(0, 0.01, (6, n))
    columns |= {
        "area_px2": area,
        "area_nm2": area * NM**2,
        "aspect_ratio": ratio,
        "circularity": np.where(rod, 0.7, 0.93) + noise[0],
        "solidity": np.where(rod, 0.95, 0.97) + noise[1],
        "convexity": 0.98 + noise[2],
        "eccentricity": np.sqrt(1 - 1 / np.maximum(ratio, 1.001) ** 2),
        "p": np.where(rod, 6.0, 2.0) * np.exp(noise[3]),
        "d": np.full(n, 2.0),
        "l_ratio": ratio,
        "jaccard": 0.97 + 0.5 * noise[4],
        "is_circle": ~rod,
        "shape_y_px": y,
        "shape_x_px": x,
        "shape_radius_px": size / 2 * np.sqrt(ratio),
        "shape_angle_deg": rng.uniform(-90, 90, n),
        "orientation_deg": rng.uniform(-90, 90, n),
        "frame": frame,
        "particle": np.tile(np.arange(per_frame), n_frames),
        "label": np.tile(np.arange(per_frame) + 1, n_frames),
        "y_px": y,
        "x_px": x,
        "bbox_y0_px": (y - major / 2).astype(int),
        "bbox_x0_px": (x - major / 2).astype(int),
        "bbox_y1_px": (y + major / 2).astype(int) + 1,
        "bbox_x1_px": (x + major / 2).astype(int) + 1,
        "contrast": 8 + 20 * noise[5],
        "weight": rng.uniform(1, 1.2, n),
        "accepted": np.arange(n) % 11 != 0,
    }
    columns["reject_reason"] = np.where(columns["accepted"], "", "edge").astype(object)
    return Table(PARTICLES, columns)


def write_run(
    folder: Path,
    *,
    n_frames: int = 12,
    per_frame: int = 14,
    long_share: float = 0.35,
    grouped: bool = True,
    fitted: bool = True,
    seed: int = 1,
) -> Path:
    """Write a run whose sizes and groups come from the real reductions."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for k in range(n_frames):
        image = rng.integers(90, 110, SHAPE, dtype=np.uint16)
        tifffile.imwrite(folder / f"{k:02d}.tif", image)
    opened = open_frames(str(folder / "*.tif"), pixel_size_nm=NM)
    assert opened.records[0].calibration == Calibration(NM, NM, "set", None)
    said = {"state": "done", "reduced": True, "timings": {"read": 1.0}, "measure_s": 30.0}
    results = Results.create(folder / "run", {**said, "recipe": RECIPE}, opened)
    results.lock.release()
    tables = {
        "frames": frame_table(folder, n_frames),
        "particles": particle_table(n_frames, per_frame, long_share, seed),
    }
    if not fitted:
        gone = {k: np.full(n_frames * per_frame, np.nan) for k in ("p", "d", "l_ratio", "jaccard")}
        tables["particles"] = tables["particles"].with_columns(gone)
    tables |= Ensemble()(tables)
    if grouped:
        tables |= Groups(k=2, largest_k=3, learn_from=200, bootstraps=0, compare=False)(tables)
    tables["problems"] = Table.empty(PROBLEMS)
    for name, table in tables.items():
        results.write_table(name, table)
    labels = np.zeros((1, *SHAPE), np.int32)
    labels[0, 20:50, 30:80] = 2
    MapStore(results.path).write("labels", [1], labels)
    return results.path
