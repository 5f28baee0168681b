"""The picture of a frame of atom columns, as the live page shows it."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import tifffile

from column_tables import batch_of, dot
from stempede.columns.octahedra import Octahedra
from stempede.dashboard.picture import picture
from stempede.io.results import Results
from stempede.tables import Table

FACTS = {"frame": 0, "page": 0, "height_px": 640, "width_px": 600, "state": "measured"}


@pytest.fixture
def measured(tmp_path):
    """Return a run with a large and a small dot in one frame, and the facts of the frame."""
    large = dot((7, 6), 9.0).columns(crystal=0)
    small = dot((3, 3), 2.0, origin=(80, 90)).columns(crystal=1)
    names = large.schema.names
    both = {n: np.concatenate([large[n], small[n]]) for n in names}
    both["accepted"] = np.arange(len(both["frame"])) % 5 > 0
    tables = Octahedra()(batch_of(Table(large.schema, both))).tables
    image = np.random.default_rng(2).normal(100, 5, (640, 600)).astype(np.float32)
    tifffile.imwrite(tmp_path / "dots.tif", image)
    results = Results.create(tmp_path / "run", {})
    results.lock.release()
    results.write_chunk(0, {n: tables[n] for n in ("columns", "octahedra", "frames")})
    return results, {**FACTS, "source": str(tmp_path / "dots.tif")}, tables["columns"]


def pixels(uri: str) -> np.ndarray:
    from PIL import Image

    content = base64.b64decode(uri.partition("base64,")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), np.int16)


def colour(shown: np.ndarray) -> float:
    """Return the share of pixels that are not grey."""
    return float((np.ptp(shown, axis=2) > 30).mean())


def test_octahedra_are_drawn_over_the_columns(measured) -> None:
    results, facts, columns = measured
    uri, words = picture(results, facts, 0, None)
    assert uri.startswith("data:image/jpeg;base64,")
    accepted = int(columns["accepted"].sum())
    assert words == f"frame 0: {accepted} of {len(columns)} columns accepted"
    assert colour(pixels(uri)) > 0.05


def test_the_crystal_with_most_columns_is_the_one_that_is_drawn(measured, tmp_path) -> None:
    results, facts, columns = measured
    only = Results.create(tmp_path / "only", {})
    only.lock.release()
    octahedra = results.read_part("octahedra", 0)
    large = {
        "columns": columns.take(columns["crystal"] == 0),
        "octahedra": octahedra.take(octahedra["crystal"] == 0),
    }
    only.write_chunk(0, large)
    assert picture(only, facts, 0, None)[0] == picture(results, facts, 0, None)[0]


def test_a_frame_without_columns_is_shown_plain(measured) -> None:
    results, facts, columns = measured
    nothing = columns.take(np.zeros(len(columns), bool))
    octahedra = results.read_part("octahedra", 0)
    results.write_chunk(
        1, {"columns": nothing, "octahedra": octahedra.take(np.zeros(len(octahedra), bool))}
    )
    uri, words = picture(results, facts, 1, None)
    assert words == "frame 0: 0 of 0 columns accepted"
    assert colour(pixels(uri)) == 0
    uri, words = picture(results, {**facts, "state": "problem"}, 1, None)
    assert words == "frame 0: not measured, see the problems"
    assert colour(pixels(uri)) == 0
