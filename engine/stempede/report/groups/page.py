"""The part of the page on groups and shapes: its sections in reading order."""

from __future__ import annotations

from stempede.report.findings import Findings
from stempede.report.groups.classified import classes
from stempede.report.groups.crops import read_crops
from stempede.report.groups.findings import Grouped
from stempede.report.groups.found import found as how_found
from stempede.report.groups.network import network
from stempede.report.groups.sections import groups, micrographs, montages
from stempede.report.groups.shapes import shapes
from stempede.report.html import Html
from stempede.report.pixels import Pixels
from stempede.report.sketch import Sketch


def of_groups(found: Findings, sketch: Sketch) -> dict[str, Html | None]:
    """Return the sections on groups, shapes and classes by name; those without a table are None.

    Parameters
    ----------
    found : Findings
        The run.
    sketch : Sketch
        Draws into its folder.
    """
    grouped = Grouped.gather(found)
    parts: dict[str, Html | None] = {}
    if grouped is not None:
        # those of an earlier page, which may have had other groups
        for stale in (
            *sketch.folder.glob("groups-frame-*"),
            *sketch.folder.glob("montage-group-*"),
            *sketch.folder.glob("group-histogram-*"),
        ):
            stale.unlink()
        pixels = Pixels.of(found.run.path)
        crops = read_crops(grouped, pixels)
        parts = {
            "groups": groups(grouped, sketch),
            "group-overlays": micrographs(grouped, pixels, sketch),
            "montages": montages(grouped, crops, sketch),
            "shapes": shapes(grouped, crops, sketch, network(grouped, sketch)),
            "grouping": how_found(grouped, sketch),
        }
    return {**parts, "classes": classes(found.run, sketch)}
