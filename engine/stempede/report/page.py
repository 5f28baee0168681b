"""The page: sections in reading order, in one file that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stempede.errors import ResultsError
from stempede.report import aside, perframe, record, sections, style
from stempede.report.findings import Findings, gather, n_uncalibrated
from stempede.report.folder import RunFolder
from stempede.report.headline import headline
from stempede.report.html import Html, counted, join, tag
from stempede.report.show import overlays
from stempede.report.sketch import Sketch

TITLES = {
    "sizes": "Sizes",
    "overlays": "Overlays",
    "aside": "Set aside",
    "samples": "Samples",
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
    found = gather(RunFolder.open(run))
    folder = found.run.path / "figures"
    try:
        folder.mkdir(exist_ok=True)
        text = render(found, folder)
        page = found.run.path / "report.html"
        temporary = page.with_name(".report.html")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(page)
    except OSError as error:
        raise ResultsError(
            f"wanted to write the report into {found.run.path}, but {error}; make room or "
            "change its permissions"
        ) from error
    return page


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
    body = {
        "sizes": sections.sizes(found, sketch),
        "overlays": overlays(found, figures_folder),
        "aside": aside.set_aside(found, sketch),
        "samples": sections.samples(found, sketch),
        "systematics": sections.systematics(found, sketch),
        "features": sections.features(found, sketch),
        "frames": perframe.frames(found),
        "problems": record.problems(found),
        "provenance": record.provenance(found),
        "speed": record.speed(found),
    }
    shown = {name: part for name, part in body.items() if part is not None}
    links = [tag("li", tag("a", TITLES[name], href=f"#{name}")) for name in shown]
    return document(
        f"{found.run.name} · stempede",
        join(
            tag(
                "header",
                tag("p", "stempede · particles", class_="eyebrow"),
                tag("h1", found.run.name),
                tag("p", subtitle(found), class_="sub"),
                banner(found),
                headline(found),
                tag("nav", tag("ul", *links), aria_label="Sections"),
            ),
            tag("main", *shown.values()),
            footer(found),
        ),
    )


def document(title: str, body: Html) -> str:
    """Return a complete HTML document around a body."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        # the style sheet and the script are this package's own text
        tag("style", Html(style.CSS)),
    )
    whole = tag("body", body, tag("script", Html(style.SORT)))
    return "<!DOCTYPE html>\n" + tag("html", head, whole, lang="en") + "\n"


def subtitle(found: Findings) -> str:
    """Return when and from what the run was made."""
    document = found.run.document
    parts = [document.get("origin"), document.get("finished_at") or document.get("started_at")]
    return " · ".join(str(p) for p in parts if p)


def banner(found: Findings) -> Html | None:
    """Return what a reader must know before any number: provisional, no calibration, failures."""
    run = found.run
    said: list[Any] = []
    if run.provisional:
        total = run.document.get("n_frames")
        share = f" {len(run.frames):,} of {total:,} frames are done." if total else ""
        resume = tag("code", f"stempede resume {run.path}")
        said.append(
            [
                f"Provisional: the run is {record.state(run)}.{share} Every number below is of "
                "what was measured so far; ",
                resume,
                " completes it.",
            ]
        )
    states = run.frames.text("state")
    if states and all(s == "problem" for s in states):
        said.append(f"No frame could be measured: all {len(states):,} failed, see Problems.")
    uncalibrated = n_uncalibrated(run.frames)
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


def footer(found: Findings) -> Html:
    """Return where the numbers behind the page lie."""
    return tag(
        "footer",
        "Tables are Parquet folders beside this page (",
        tag("code", "pandas.read_parquet('particles')"),
        "); figures are in ",
        tag("code", "figures/"),
        " as SVG and PNG. Lengths are (y, x) in pixels, y down; angles turn from +x to +y.",
    )
