"""Burned-in bars are found, measured and masked; nothing that was imaged is taken for one."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from stempede.backend import Backend
from stempede.errors import RecipeError
from stempede.frames import Batch, Calibration, FrameRecord, frames_table
from stempede.preprocess.annotations import Annotations, find_annotations, to_grey

SHAPE = (421, 613)
LENGTH = 137


@lru_cache
def micrograph(seed: int = 0, noise: float = 14.0) -> np.ndarray:
    """Return dark rods at all angles, soft at their edges, on a noisy grey support."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = np.full(SHAPE, 150.0)
    for _ in range(40):
        cy, cx, angle = rng.uniform(0, SHAPE[0]), rng.uniform(0, SHAPE[1]), rng.uniform(0, np.pi)
        long, wide = rng.uniform(8, 45), rng.uniform(6, 12)
        u = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        v = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        image[(np.abs(u) < long) & (np.abs(v) < wide)] = rng.uniform(0, 70)
    image = ndimage.gaussian_filter(image, 1.5) + noise * rng.standard_normal(SHAPE)
    return np.clip(image, 0, 255).astype(np.uint8)


def burn(
    grey: np.ndarray,
    *,
    colour: str = "black",
    thick: int = 6,
    style: str = "plain",
    text: str = "50 nm",
    jpeg: int = 0,
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Return an image with a bar of LENGTH px and its text, and the box of the text."""
    image = Image.fromarray(grey).convert("RGB")
    other = "white" if colour == "black" else "black"
    if style == "band":
        tall = Image.new("RGB", (image.width, image.height + 60), other)
        tall.paste(image, (0, 0))
        image = tall
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(26)
    y, x = image.height - 14 - thick, 31
    box = draw.textbbox((x, y - 36), text, font=font)
    if style == "box":
        draw.rectangle((x - 9, y - 42, x + LENGTH + 9, y + thick + 7), fill=other)
    if style == "outline":
        draw.rectangle((x - 1, y - 1, x + LENGTH, y + thick), fill=other)
    if style == "ticks":
        for end in (x, x + LENGTH - 3):
            draw.rectangle((end, y - 5, end + 2, y + thick + 4), fill=colour)
    draw.rectangle((x, y, x + LENGTH - 1, y + thick - 1), fill=colour)
    draw.text((x, y - 36), text, fill=colour, font=font)
    if jpeg:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=jpeg)
        image = Image.open(stream)
    return np.array(image.convert("L")), tuple(int(v) for v in (box[1], box[0], box[3], box[2]))


def batch_of(images: list[np.ndarray], **fields: Any) -> Batch:
    """Return a batch on the CPU; ``fields`` go into every record."""
    records = tuple(
        FrameRecord(k + 5, f"/images/{k}.png", 0, im.shape, str(im.dtype), **fields)
        for k, im in enumerate(images)
    )
    stack = np.stack(images).astype(np.float32)
    return Batch(
        images=stack,
        records=records,
        backend=Backend.choose("cpu"),
        maps={"valid": np.ones(stack.shape, dtype=bool)},
        tables={"frames": frames_table(records)},
    )


@pytest.mark.parametrize("colour", ["black", "white"])
@pytest.mark.parametrize("style", ["plain", "outline", "box", "ticks", "band"])
@pytest.mark.parametrize("jpeg", [0, 75])
def test_a_bar_is_measured_and_masked_with_its_text(colour: str, style: str, jpeg: int) -> None:
    image, text = burn(micrograph(3), colour=colour, style=style, jpeg=jpeg)
    found = find_annotations(image)
    assert found.bar is not None
    assert found.bar.length_px == pytest.approx(LENGTH, abs=0.6)
    masked = np.zeros(image.shape, dtype=bool)
    for y0, x0, y1, x1 in found.boxes:
        masked[y0:y1, x0:x1] = True
    assert masked[text[0] : text[2], text[1] : text[3]].mean() > 0.9
    assert masked[: SHAPE[0] // 2].sum() == 0


@pytest.mark.parametrize("thick", [2, 3, 11, 25])
def test_thin_and_thick_bars(thick: int) -> None:
    found = find_annotations(burn(micrograph(4), thick=thick)[0])
    assert found.bar is not None
    assert found.bar.length_px == pytest.approx(LENGTH, abs=0.6)
    assert found.bar.box[2] - found.bar.box[0] == thick


def test_a_bar_with_its_label_in_the_middle_is_one_bar() -> None:
    """The databar of many instruments: |-- 50 nm --| in a band; half of it would be wrong by 2."""
    image = Image.fromarray(np.pad(micrograph(6), ((0, 40), (0, 0))))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(16)
    y, x, length = SHAPE[0] + 20, 400, 181
    for start, stop in ((x, x + 55), (x + length - 55, x + length)):
        draw.rectangle((start, y, stop - 1, y + 1), fill=255)
    for end in (x, x + length - 2):
        draw.rectangle((end, y - 6, end + 1, y + 7), fill=255)
    draw.text((x + length / 2, y), "50 nm", fill=255, font=font, anchor="mm")
    draw.text((20, y), "200 kV   80 kx   HAADF", fill=255, font=font, anchor="lm")
    found = find_annotations(np.array(image))
    assert found.bar is not None
    assert found.bar.length_px == pytest.approx(length, abs=0.6)
    assert (SHAPE[0], 0, SHAPE[0] + 40, SHAPE[1]) in found.boxes


def test_a_resampled_bar_is_measured_below_the_pixel() -> None:
    image = Image.fromarray(burn(micrograph(5, noise=5), thick=8)[0])
    smaller = np.array(image.resize((487, 331), Image.Resampling.LANCZOS))
    bar = find_annotations(smaller).bar
    assert bar is not None
    assert bar.length_px == pytest.approx(LENGTH * 487 / SHAPE[1], abs=0.35)


@pytest.mark.parametrize("seed", range(6))
def test_particles_and_rods_are_no_bars(seed: int) -> None:
    assert find_annotations(micrograph(seed)).boxes == ()
    assert find_annotations(255 - micrograph(seed, noise=3)).boxes == ()


def test_dead_lines_clipped_vacuum_and_straight_edges_are_no_bars() -> None:
    image = micrograph(7).copy()
    image[40] = 0
    image[90, :300] = 255
    image[:, 200] = 0
    assert find_annotations(image).boxes == ()
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    slope = np.clip(2 * (x + 0.3 * y) - 300, 0, 255).astype(np.uint8)
    assert find_annotations(slope).boxes == ()
    slab = np.where((y > 200) & (y < 230), 255, 20)
    slab = np.clip(ndimage.gaussian_filter(slab.astype(float), 2), 0, 255)
    assert find_annotations(slab.astype(np.uint8)).boxes == ()
    assert find_annotations(np.full(SHAPE, 9, dtype=np.uint8)).boxes == ()


def test_the_stage_turns_a_known_length_into_the_pixel_size() -> None:
    plain, barred = micrograph(8), burn(micrograph(9))[0]
    batch = Annotations()(batch_of([plain, barred], scale_bar_nm=50.0))
    first, second = batch.records
    assert first.calibration == Calibration()
    assert second.calibration.source == "scale bar"
    assert second.calibration.pixel_size_y_nm == pytest.approx(50 / LENGTH, rel=0.005)
    assert second.calibration.pixel_size_x_nm == second.calibration.pixel_size_y_nm
    assert second.calibration.rel_u == pytest.approx(0.5 / LENGTH, rel=0.01)
    frames = batch.tables["frames"]
    assert np.isnan(frames["pixel_size_nm"][0])
    assert frames["pixel_size_nm"][1] == second.calibration.pixel_size_nm
    assert frames["pixel_size_source"].tolist() == ["", "scale bar"]
    assert [(p.frame, p.stage) for p in batch.problems] == [(5, "preprocess.annotations")]
    assert "50 nm" in batch.problems[0].reason
    assert batch.maps["valid"][0].all()
    assert not batch.maps["valid"][1].all()


def test_the_margin_is_cleared_too_and_known_exclusions_stay() -> None:
    image, text = burn(micrograph(10))
    batch = batch_of([image])
    batch.maps["valid"][0, :3] = False
    valid = Annotations(margin_px=7)(batch).maps["valid"][0]
    assert not valid[:3].any()
    bar = find_annotations(image).bar
    assert bar is not None
    y0, x0, y1, x1 = bar.box
    assert not valid[y0 - 7 : y1 + 7, x0 - 7 : x1 + 7].any()
    assert valid[y1 + 8, x0:x1].all()
    assert not valid[text[0] : text[2], text[1] : text[3]].any()


def test_a_missing_bar_leaves_the_calibration_of_the_file() -> None:
    file = Calibration(0.2, 0.3, "file", 0.01)
    batch = batch_of([micrograph(11)], scale_bar_nm=20.0, calibration=file)
    found = Annotations()(batch)
    assert found.records[0].calibration == file
    assert found.problems == ()


def test_sixteen_bit_frames_are_not_searched_unless_asked() -> None:
    image = burn(micrograph(12))[0].astype(np.uint16) * 200
    batch = batch_of([image])
    assert Annotations()(batch) is batch
    assert not Annotations(search="always")(batch).maps["valid"].all()
    assert Annotations(search="never")(batch_of([burn(micrograph(12))[0]])).maps["valid"].all()
    known = replace(batch, records=tuple(replace(r, scale_bar_nm=50.0) for r in batch.records))
    calibration = Annotations()(known).records[0].calibration
    assert calibration.pixel_size_nm == pytest.approx(50 / LENGTH, rel=0.005)


def test_grey_keeps_counts_and_scales_what_does_not_fit() -> None:
    luminance = np.array([[0.0, 12.6], [254.9, 3.2]], dtype=np.float32)
    np.testing.assert_array_equal(to_grey(luminance), [[0, 13], [255, 3]])
    np.testing.assert_array_equal(to_grey(np.array([[-100.0, 900.0]])), [[0, 255]])


def test_an_unknown_search_is_refused() -> None:
    with pytest.raises(RecipeError, match="auto, always, never; found 'maybe'"):
        Annotations(search="maybe")


def grey_file(path: Path) -> np.ndarray:
    return np.array(Image.open(path).convert("RGB").convert("L"))


def test_public_micrographs_with_bars(public_data: Path) -> None:
    """Lengths within 1 % on at least 20 of 24; the quadrants' bar of 386 px, text and all."""
    folder = public_data / "micrographs" / "bf-au-spheres-rods-2k"
    with (folder / "scales.csv").open() as lines:
        truth = {r["file"]: float(r["bar_px (measured)"]) for r in csv.DictReader(lines)}
    assert len(truth) == 24
    right = 0
    for name, length in truth.items():
        bar = find_annotations(grey_file(folder / name)).bar
        right += bar is not None and abs(bar.length_px / length - 1) < 0.01
    assert right >= 20
    for path in (public_data / "micrographs" / "bf-nanocrystals-masks" / "images").glob("*_3.png"):
        found = find_annotations(grey_file(path))
        assert found.bar is not None
        assert found.bar.length_px == pytest.approx(386, rel=0.005)
        text = min(found.boxes)
        assert text[0] < 510
        assert text[1] < 60
        assert text[3] > 370


@pytest.mark.parametrize(
    ("folder", "pattern"),
    [
        ("bf-au-insitu-video", "raw/*0.png"),
        ("bf-au-tetrahedra-prisms-masks", "*/image/*"),
        ("bf-patchy-prisms-series", "images/*"),
        ("haadf-tomo-pt-alumina-masks", "images/*"),
        ("stem-catalyst-boxes", "images/P*"),
        ("bf-nanocrystals-masks", "images/*_[124].png"),
    ],
)
def test_public_micrographs_without_bars(public_data: Path, folder: str, pattern: str) -> None:
    paths = sorted((public_data / "micrographs" / folder).glob(pattern))
    assert len(paths) > 5
    masked = [path.name for path in paths if find_annotations(grey_file(path)).boxes]
    assert masked == []
