"""Commands that measure: run, resume, preview."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from stempede.cli.app import (
    AsJson,
    PixelSize,
    Quiet,
    RecipeOption,
    Run,
    ScaleBar,
    SetOption,
    Signal,
    Source,
    app,
    parse_bytes,
)
from stempede.cli.progress import Progress
from stempede.cli.source_options import SourceOptions, open_session, with_source_options
from stempede.cli.summary import describe, status, summarise

Device = Annotated[str, typer.Option(help="auto, cpu or gpu.")]
Workers = Annotated[int | None, typer.Option(help="Processes; one per core or per card.")]
Scheduler = Annotated[str | None, typer.Option(help="An existing Dask scheduler, tcp://host:port.")]
Memory = Annotated[str | None, typer.Option(help="Budget over all processes, such as 4GiB.")]
Keep = Annotated[
    str | None, typer.Option(help="Maps and internal tables to keep, comma-separated, or 'none'.")
]
Size = Annotated[
    str | None, typer.Option(help="Headline size measure: major_axis, equivalent_diameter, …")
]
Allowed = Annotated[
    float,
    typer.Option("--allow-problems", help="Share of problem frames that still ends with 0."),
]


@app.command()
@with_source_options
def run(
    source: Source,
    out: Annotated[Path, typer.Option("--out", help="Folder of the run; new or empty.")],
    recipe: RecipeOption = "particles",
    assignments: SetOption = None,
    size: Size = None,
    said: SourceOptions = SourceOptions(),  # noqa: B008 -- frozen
    device: Device = "auto",
    workers: Workers = None,
    scheduler: Scheduler = None,
    memory: Memory = None,
    keep: Keep = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen; write nothing.")
    ] = False,
    allow_problems: Allowed = 0.1,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Measure a session: tables, figures and a report into a folder."""
    from stempede.recipe import Recipe
    from stempede.session import RunOptions

    reductions = ("particles.ensemble", "particles.sensitivity") if size else ()
    changes = [*(assignments or []), *(f'{name}.size="{size}"' for name in reductions)]
    options = RunOptions(
        device=device,
        workers=workers,
        scheduler=scheduler,
        memory_bytes=parse_bytes(memory),
        keep=maps_of_option(keep),
    )
    chosen = Recipe.load(recipe)
    session = open_session(source, chosen, changes, out, options, said, quiet=quiet)
    if dry_run:
        typer.echo(
            "\n".join([f"route        {session.pipeline!r}", *session.plan(measure=True).lines()])
        )
        return
    finish(session, quiet=quiet, as_json=as_json, allowed=allow_problems)


@app.command()
def resume(
    run: Run,
    exclude: Annotated[
        Path | None,
        typer.Option("--exclude", help="CSV of particles to set aside: frame, particle, reason."),
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    allow_problems: Allowed = 0.1,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a run that was stopped, or set particles aside without measuring anew."""
    from stempede.live import is_watched, settle
    from stempede.session import RunOptions, Session

    machine = None
    if workers is not None or scheduler is not None:
        machine = RunOptions(workers=workers, scheduler=scheduler)
    if is_watched(run):
        settle(run)
    session = Session.resume(run, exclude=exclude, options=machine)
    if session.finished and exclude is None:
        typer.echo(f"{run} is finished; nothing is left to do")
        return
    finish(session, quiet=quiet, as_json=as_json, allowed=allow_problems)


def finish_watched(run: Path, *, quiet: bool, allowed: float) -> None:
    """Settle a run that was watched and finish it as any other."""
    from stempede.live import settle
    from stempede.session import Session

    settle(run)
    finish(Session.resume(run), quiet=quiet, as_json=False, allowed=allowed)


def finish(
    session: Any,
    *,
    quiet: bool,
    as_json: bool,
    allowed: float,
    before_report: Callable[[], list[str]] = list,
) -> None:
    """Run a session, write its report, say how it went, and leave with the exit status.

    ``before_report`` is called when all is measured and reduced; its lines are said, too.
    """
    from stempede.report.page import write_report

    try:
        unit = session.pipeline.items
        with Progress(quiet=quiet or as_json, unit=unit) as progress:
            session.run(progress)
    except KeyboardInterrupt as stop:
        typer.echo(f"stempede: {stop}", err=True)
        raise typer.Exit(130) from None
    lines = before_report()
    page = write_report(session.out)
    summary = summarise(session.out)
    if as_json:
        typer.echo(json.dumps({**summary, "report": str(page)}, indent=1))
    elif not quiet:
        typer.echo("\n".join([*describe(summary), *lines]))
        typer.echo(page)
    raise typer.Exit(status(summary, allowed))


@app.command()
def preview(
    source: Source,
    frame: Annotated[int, typer.Option(help="Number of the frame, from 0.")] = 0,
    out: Annotated[Path, typer.Option("--out", help="PNG to write.")] = Path("preview.png"),
    recipe: RecipeOption = "particles",
    assignments: SetOption = None,
    pixel_size_nm: PixelSize = None,
    scale_bar_nm: ScaleBar = None,
    signal: Signal = None,
    device: Device = "auto",
) -> None:
    """Measure one frame and draw what was found over it, to try a recipe."""
    from stempede.cli.preview import measure_one
    from stempede.report.dots.preview import network_png
    from stempede.report.preview import preview_png

    batch = measure_one(
        source,
        frame,
        recipe,
        assignments or [],
        device,
        pixel_size_nm=pixel_size_nm,
        scale_bar_nm=scale_bar_nm,
        signal=signal,
    )
    if "columns" in batch.tables:
        network_png(out, batch)
        name, found = "columns", batch.tables["columns"]
    else:
        preview_png(out, batch)
        name, found = "regions", batch.tables["particles"]
    typer.echo(f"{int(found['accepted'].sum())} of {len(found)} {name} accepted")
    typer.echo(out)


def maps_of_option(keep: str | None) -> tuple[str, ...] | None:
    """Return the maps that ``--keep`` names."""
    if keep is None:
        return None
    return () if keep == "none" else tuple(name.strip() for name in keep.split(",") if name.strip())
