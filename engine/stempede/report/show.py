"""The overlay section: pixels of chosen frames, read again from where they came from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stempede.errors import StempedeError
from stempede.report import overlays as draw
from stempede.report.ellipses import Outlines, draw_ellipses
from stempede.report.findings import Findings
from stempede.report.html import Html, section, tag
from stempede.report.pixels import Pixels
from stempede.report.preview import ORANGE, TEAL, Regions, overlay


def overlays(found: Findings, folder: Path) -> Html | None:
    """Return overlays of the best, the median and the worst frames, and write them as PNG."""
    # those of an earlier page, which may have shown other frames
    for stale in folder.glob("overlay-frame-*.png"):
        stale.unlink()
    frames = _measured(found)
    if not len(frames):
        return None
    scores = draw.frame_scores(
        frames,
        np.asarray(found.particles["frame"]),
        ~found.particles.flags("touches_edge"),
        found.accepted,
        np.asarray(found.particles["contrast"], float),
    )
    chosen = draw.choose(frames, scores)
    pixels = Pixels.of(found.run.path)
    drawn = [_one(found, choice, pixels, folder, len(chosen)) for choice in chosen]
    note = _note(found, traced=any(pixels.labels(c.frame) is not None for c in chosen))
    key = tag(
        "ul",
        tag("li", tag("span", "accepted"), style=_colour(TEAL)),
        tag("li", tag("span", "set aside"), style=_colour(ORANGE)),
        class_="key",
    )
    return section(
        "overlays",
        "Overlays",
        tag("p", note, class_="note"),
        key,
        tag("div", *drawn, class_="overlays"),
    )


def _colour(rgb: tuple[int, int, int]) -> str:
    return "color:rgb({},{},{})".format(*rgb)


def _note(found: Findings, *, traced: bool) -> list[str]:
    """Return what outlines and ranks mean."""
    if not len(found.particles):
        return ["No region was detected; frames are shown as they are."]
    rank = (
        " Frames are ranked by a score: the share of regions accepted among those clear of the "
        "border, times their median contrast in units of the background noise."
    )
    if traced:
        return ["Outlines are those of the label maps, with reasons written in.", rank]
    return [
        "The run kept no label maps: ellipses of the same second moments are drawn, dotted where "
        "a region was set aside; ",
        tag("code", "--keep labels"),
        " gives outlines.",
        rank,
    ]


def _measured(found: Findings) -> np.ndarray:
    table = found.run.frames
    usable = np.array([s != "problem" for s in table.text("state")], bool)
    return np.sort(np.asarray(table["frame"])[usable].astype(np.int64))


def _one(found: Findings, choice: draw.Choice, pixels: Pixels, folder: Path, share: int) -> Html:
    """Return one overlay with its caption, or why it cannot be shown."""
    here = np.asarray(found.particles["frame"]) == choice.frame
    rows = found.particles.take(np.flatnonzero(here))
    accepted = rows.flags("accepted")
    caption = (
        f"{choice.rank.capitalize()}: frame {choice.frame}, score {choice.score:.3g}; "
        f"{int(accepted.sum()):,} accepted of {len(rows):,} regions. {_source(found, choice.frame)}"
    )
    try:
        image = pixels.image(choice.frame)
    except (StempedeError, OSError) as error:
        return tag(
            "figure",
            tag("p", f"The pixels cannot be read again: {error}", class_="note"),
            tag("figcaption", caption),
        )
    labels = pixels.labels(choice.frame)
    if labels is not None and labels.shape == image.shape:
        regions = Regions(labels, rows["label"], accepted, rows.text("reject_reason"))
        rgb = overlay(
            image,
            regions,
            pixel_size_nm=_pixel_size_nm(found, choice.frame),
            max_side_px=draw.MAX_SIDE_PX,
        )
    else:
        ellipses = Outlines(
            rows["y_px"],
            rows["x_px"],
            rows["major_axis_px"],
            rows["minor_axis_px"],
            rows["orientation_deg"],
            accepted,
        )
        rgb = draw_ellipses(image, ellipses)
    from PIL import Image

    Image.fromarray(rgb).save(folder / f"overlay-frame-{choice.frame:06d}.png", compress_level=3)
    picture = tag(
        "img",
        src=draw.jpeg_uri(rgb, share),
        alt=f"Overlay of frame {choice.frame}",
        width=rgb.shape[1],
        height=rgb.shape[0],
    )
    return tag("figure", picture, tag("figcaption", caption))


def _row(found: Findings, frame: int) -> int:
    return int(np.flatnonzero(np.asarray(found.run.frames["frame"]) == frame)[0])


def _pixel_size_nm(found: Findings, frame: int) -> float | None:
    size = float(found.run.frames["pixel_size_nm"][_row(found, frame)])
    return size if np.isfinite(size) else None


def _source(found: Findings, frame: int) -> str:
    table, row = found.run.frames, _row(found, frame)
    page = int(table["page"][row])
    return Path(table.text("source")[row]).name + (f", page {page}" if page > 0 else "")
