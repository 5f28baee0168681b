"""Commands that hand a run to other programs: export and view."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from stempede.cli.app import Run, app
from stempede.errors import InputError

FORMATS = ("csv", "xlsx", "imagej", "tiff")


@app.command()
def export(
    run: Run,
    format: Annotated[  # noqa: A002
        str | None, typer.Option("--format", help="csv, xlsx, imagej or tiff.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for --format; RUN/export by default.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="One label TIFF per source image into here.")
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="One CSV per table into here.")] = None,
    units: Annotated[
        bool, typer.Option("--units", help="A second row with units in every CSV.")
    ] = False,
    all_regions: Annotated[
        bool, typer.Option("--all", help="Labels and outlines of what was set aside, too.")
    ] = False,
    tree: Annotated[
        bool, typer.Option("--tree", help="Keep the folders of the sources (tiff, imagej).")
    ] = False,
) -> None:
    """Write tables, label maps and outlines for other programs."""
    if out is not None and format is None:
        raise InputError("--out says where --format writes; found no --format; name one")
    if format is None and labels is None and csv is None:
        raise InputError(
            f"export wants --format {' | '.join(FORMATS)}, --labels DIR or --csv DIR; "
            f"found none; name one"
        )
    if format is not None and format not in FORMATS:
        raise InputError(f"format is one of {', '.join(FORMATS)}; found '{format}'; correct it")
    writers = _writers(run, units=units, all_regions=all_regions, tree=tree)
    if labels is not None:
        typer.echo(writers["tiff"](labels))
    if csv is not None:
        typer.echo(writers["csv"](csv))
    if format is not None:
        typer.echo(writers[format](out if out is not None else run / "export" / format))


def _writers(
    run: Path, *, units: bool, all_regions: bool, tree: bool
) -> dict[str, Callable[[Path], Any]]:
    """Return by format what writes a run into a folder."""
    from stempede.io.export import export_labels, export_tables
    from stempede.io.export_rois import export_rois
    from stempede.io.export_xlsx import export_workbook

    return {
        "csv": lambda folder: export_tables(run, folder, units=units),
        "xlsx": lambda folder: export_workbook(run, folder),
        "imagej": lambda folder: export_rois(run, folder, all_regions=all_regions, tree=tree),
        "tiff": lambda folder: export_labels(run, folder, all_regions=all_regions, tree=tree),
    }


@app.command()
def view(
    run: Run,
    frames: Annotated[
        str | None, typer.Option("--frames", help="Only these: 0:20, ::10, or one number.")
    ] = None,
) -> None:
    """Open images, labels, points and tables of a run as layers of napari."""
    from stempede.cli.app import parse_slice
    from stempede.report.view import show

    show(run, parse_slice(frames))
