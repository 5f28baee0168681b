"""The page: sections in reading order, in one file that needs nothing else."""

from __future__ import annotations

from pathlib import Path

from stempede.errors import ResultsError
from stempede.report import aside, perframe, record, sections
from stempede.report.document import document, write_page
from stempede.report.dots.page import body as dots_body
from stempede.report.findings import Findings, gather, n_uncalibrated
from stempede.report.folder import RunFolder
from stempede.report.groups.page import of_groups
from stempede.report.headline import headline
from stempede.report.html import Html, counted, join, tag
from stempede.report.show import overlays
from stempede.report.sketch import Sketch

TITLES = {
    "sizes": "Sizes",
    "overlays": "Overlays",
    "aside": "Set aside",
    "samples": "Samples",
    "groups": "Groups",
    "group-overlays": "Micrographs",
    "montages": "Montages",
    "shapes": "Shapes",
    "grouping": "Grouping",
    "classes": "Classes",
    "systematics": "Systematics",
    "features": "Features",
    "frames": "Frames",
    "problems": "Problems",
    "provenance": "Provenance",
    "speed": "Speed",
}


def write_report(run: Path | str) -> Path:
    """Write ``report.html`` and ``figures/`` of a run, finished or not.

    The page stands alone: it opens offline and carries its figures. What a run lacks (particles,
    calibration, label maps, the source files) is said on the page and left out.

    Parameters
    ----------
    run : Path
        Run folder.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ResultsError
        The folder is not a run, or cannot be written to.
    """
    opened = RunFolder.open(run)
    folder = opened.path / "figures"
    try:
        folder.mkdir(exist_ok=True)
        columns = (opened.path / "columns").is_dir()
        text = (
            document(opened.name, dots_body(opened, folder))
            if columns
            else render(gather(opened), folder)
        )
        return write_page(opened.path / "report.html", text)
    except OSError as error:
        raise ResultsError(
            f"wanted to write the report into {opened.path}, but {error}; make room or "
            "change its permissions"
        ) from error


def render(found: Findings, figures_folder: Path) -> str:
    """Return the whole page of a run; figures are written to their folder on the way.

    Parameters
    ----------
    found : Findings
        What the run holds.
    figures_folder : Path
        An existing folder.
    """
    sketch = Sketch(figures_folder)
    grouped = of_groups(found, sketch)
    body = {
        "sizes": sections.sizes(found, sketch),
        "overlays": overlays(found, figures_folder),
        "aside": aside.set_aside(found, sketch),
        "samples": sections.samples(found, sketch),
        **grouped,
        "systematics": sections.systematics(found, sketch),
        # the same predictors stand there by group
        "features": None if grouped.get("groups") else sections.features(found, sketch),
        "frames": perframe.frames(found),
        "problems": record.problems(found.run),
        "provenance": record.provenance(found.run),
        "speed": record.speed(found.run, len(found.particles), "particles"),
    }
    shown = {name: part for name, part in body.items() if part is not None}
    links = [tag("li", tag("a", TITLES[name], href=f"#{name}")) for name in shown]
    return document(
        found.run.name,
        join(
            tag(
                "header",
                tag("p", "stempede · particles", class_="eyebrow"),
                tag("h1", found.run.name),
                tag("p", record.subtitle(found.run), class_="sub"),
                banner(found),
                headline(found),
                tag("nav", tag("ul", *links), aria_label="Sections"),
            ),
            tag("main", *shown.values()),
            record.footer("particles"),
        ),
    )


def banner(found: Findings) -> Html | None:
    """Return what a reader must know before any number: provisional, no calibration, failures."""
    said = record.warnings(found.run)
    uncalibrated = n_uncalibrated(found.run.frames)
    if len(found.particles) and found.unit == "px":
        said.append("No pixel size is known: all lengths are in pixels, nothing is in nm.")
    elif len(found.particles) and uncalibrated:
        said.append(
            f"{counted(uncalibrated, 'frame')} without pixel size: their particles are counted "
            "and listed, but are in no size in nm."
        )
    if not said:
        return None
    return tag("div", *(tag("p", s) for s in said), class_="banner", role="note")
