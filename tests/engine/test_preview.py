"""Previews: outlines lie on the regions' rims, colours say their state, the file is a PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stempede.backend import Backend
from stempede.errors import ResultsError
from stempede.frames import Batch, Calibration, FrameRecord, frames_table
from stempede.report.preview import (
    HATCH,
    ORANGE,
    TEAL,
    Regions,
    legend,
    nice_length,
    overlay,
    preview_png,
)
from stempede.tables import PARTICLES, Table


def regions(shape: tuple[int, int] = (812, 1031)) -> Regions:
    """Return an accepted region, one set aside, and a small one set aside."""
    labels = np.zeros(shape, dtype=np.int32)
    labels[50:150, 60:200] = 1
    labels[50:150, 200:420] = 2
    labels[400:404, 700:705] = 3
    return Regions(
        labels, np.array([1, 2, 3]), np.array([True, False, False]), ["", "outlier", "too small"]
    )


def image(shape: tuple[int, int] = (812, 1031)) -> np.ndarray:
    return np.random.default_rng(0).normal(100, 10, shape).astype(np.float32)


def coloured(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    found: np.ndarray = (picture == np.array(colour, dtype=np.uint8)).all(axis=2)
    return found


def test_outlines_lie_inside_their_regions() -> None:
    found = regions()
    picture = overlay(image(), found)
    assert picture.shape == (812, 1031, 3)
    assert picture.dtype == np.uint8
    teal, orange = coloured(picture, TEAL), coloured(picture, ORANGE)
    assert teal[50:52, 60:200].all()
    assert teal[50:150, 198:200].all()
    assert not teal[found.labels != 1].any()
    assert orange[148:150, 200:420].all()
    assert not orange[found.labels < 2].any()
    # the reason stands in the large region, not over the small one
    assert orange[60:140, 210:410].any()
    assert orange[400:404, 700:705].all()
    assert not teal[55:145, 65:195].any()
    middle = picture[60:140, 70:190]
    assert (middle[..., 0] == middle[..., 1]).all()


def test_zones_that_were_not_searched_are_hatched() -> None:
    valid = np.ones((812, 1031), dtype=bool)
    valid[700:, 800:] = False
    picture = overlay(image(), regions(), valid=valid)
    hatched = coloured(picture, HATCH)
    assert 0.1 < hatched[700:, 800:].mean() < 0.25
    assert not hatched[valid].any()


def test_large_frames_shrink_and_small_ones_grow_with_their_maps() -> None:
    big = overlay(image((1624, 2062)), regions((1624, 2062)), max_side_px=1031)
    assert big.shape == (812, 1031, 3)
    assert coloured(big, TEAL)[25, 30:100].all()
    small = Regions(np.zeros((120, 203), np.int32), np.zeros(0, int), np.zeros(0, bool))
    small.labels[20:60, 30:90] = 1
    picture = overlay(image((120, 203)), small)
    assert picture.shape == (480, 812, 3)
    assert coloured(picture, ORANGE)[80, 120:360].all()


@pytest.mark.parametrize("hidden", [False, True])
def test_a_scale_bar_of_a_round_length_keeps_clear_of_hidden_corners(hidden: bool) -> None:
    valid = np.ones((812, 1031), dtype=bool)
    valid[700:, 600:] = not hidden
    picture = overlay(image(), regions(), valid=valid, pixel_size_nm=0.5)
    white = coloured(picture, (255, 255, 255))
    row = white[812 - 20 - 2]
    half = row[:500] if hidden else row[500:]
    # a pixel in 300 is white by the stretch
    # 20 % of 1031 px at 0.5 nm are 103 nm
    assert half.sum() == pytest.approx(200, abs=6)


@given(st.floats(1e-6, 1e6))
def test_nice_lengths_fill_the_space_by_two_fifths_at_least(longest: float) -> None:
    found = nice_length(longest)
    assert 0.39 * longest < found <= longest * (1 + 1e-9)
    assert round(found / 10.0 ** np.floor(np.log10(found * (1 + 1e-9)))) in (1, 2, 5)


def test_the_legend_counts_by_reason() -> None:
    assert [w for w, _ in legend(regions())] == ["1 accepted", "1 outlier", "1 too small"]


def test_maps_of_another_shape_are_refused() -> None:
    with pytest.raises(ResultsError, match="map 'labels'"):
        overlay(image((50, 60)), regions())


def batch() -> Batch:
    found = regions()
    record = FrameRecord(7, "/a.tif", 0, (812, 1031), "uint16", Calibration(0.5, 0.5, "file"))
    rows = [
        {"frame": f, "label": n, "accepted": good, "reject_reason": why}
        for f in (6, 7)
        for n, good, why in zip(found.label, found.accepted, found.reason)
    ]
    return Batch(
        images=image()[None],
        records=(record,),
        backend=Backend.choose("cpu"),
        maps={"labels": found.labels[None], "valid": np.ones((1, 812, 1031), bool)},
        tables={"frames": frames_table([record]), "particles": Table.from_rows(PARTICLES, rows)},
    )


def test_the_file_holds_the_picture_and_a_legend(tmp_path: Path) -> None:
    path = preview_png(tmp_path / "p.png", batch())
    with Image.open(path) as stored:
        assert stored.format == "PNG"
        pixels = np.array(stored)
    assert pixels.shape[1] == 1031
    assert 812 + 20 < pixels.shape[0] < 812 + 80
    assert coloured(pixels[812:], TEAL).any()
    assert [p.name for p in tmp_path.iterdir()] == ["p.png"]
    with pytest.raises(ResultsError, match="choose another --out"):
        preview_png(tmp_path / "no" / "p.png", batch())
