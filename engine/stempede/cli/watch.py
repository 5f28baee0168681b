"""``stempede watch``: measure a session while it is being acquired, with a live page."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from stempede.cli.app import Quiet, RecipeOption, SetOption, app, parse_bytes
from stempede.cli.measure import Allowed, Device, Keep, Memory, Scheduler, Workers, finish_watched
from stempede.cli.source_options import FileOptions, with_source_options
from stempede.errors import InputError

Filling = Annotated[
    str,
    typer.Argument(
        help="Folder that fills, zarr stack that grows, or http://127.0.0.1:8900 to take frames."
    ),
]


@app.command()
@with_source_options
def watch(
    source: Filling,
    out: Annotated[Path, typer.Option("--out", help="Folder of the run; one watched before.")],
    recipe: RecipeOption = "particles",
    assignments: SetOption = None,
    policy: Annotated[str, typer.Option(help="Order of what waits: all, or latest-first.")] = "all",
    stop_when: Annotated[
        list[str] | None,
        typer.Option(
            "--stop-when", help="Say when enough is known: mean_size=1%, core_shell=significant."
        ),
    ] = None,
    end_when_enough: Annotated[
        bool, typer.Option("--end-when-enough", help="End when every --stop-when is reached.")
    ] = False,
    idle_s: Annotated[
        float | None, typer.Option("--idle", help="End after so many seconds without news.")
    ] = None,
    end_after: Annotated[
        int | None, typer.Option("--end-after", help="End after so many frames.")
    ] = None,
    quiet_s: Annotated[
        float, typer.Option("--quiet-for", help="A file is whole when unchanged so many seconds.")
    ] = 0.5,
    give_up_s: Annotated[
        float, typer.Option("--give-up", help="Seconds after which a broken file is a problem.")
    ] = 60.0,
    events: Annotated[
        str | None, typer.Option("--events", help="Alerts as JSON lines into a file; - prints.")
    ] = None,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Serve the live page.")] = True,
    host: Annotated[str, typer.Option(help="Who may see the page: this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Of the page; 0 takes a free one.")] = 5006,
    token: Annotated[
        str, typer.Option(help="Wanted of other machines, for the page and for frames.")
    ] = "",
    said: FileOptions = FileOptions(),  # noqa: B008 -- frozen
    device: Device = "auto",
    workers: Workers = None,
    scheduler: Scheduler = None,
    memory: Memory = None,
    keep: Keep = None,
    allow_problems: Allowed = 0.1,
    quiet: Quiet = False,
) -> None:
    """Measure a session while it is being acquired; Ctrl-C ends it, `resume` settles it."""
    from stempede.cli.measure import maps_of_option
    from stempede.live import Goal, Watch, Watching
    from stempede.recipe import Recipe
    from stempede.session import RunOptions

    # files that are half there are ordinary here; what stays so is told as a problem
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    chosen = Recipe.load(recipe)
    chosen = chosen.set(*assignments) if assignments else chosen
    goals = tuple(Goal.parse(text) for text in stop_when or ())
    watching = Watching(
        policy=policy,
        quiet_s=quiet_s,
        give_up_s=give_up_s,
        idle_s=idle_s,
        frames=end_after,
        goals=goals,
        end_when_enough=end_when_enough,
    )
    options = RunOptions(device, workers, scheduler, parse_bytes(memory), maps_of_option(keep))
    with _source(source, out, token, quiet=quiet) as folder:
        made = Watch(
            folder,
            chosen,
            out,
            options,
            watching,
            source_options=said.told,
            events=events,
            provenance={"command": " ".join(sys.argv)},
        )
        interrupted = _watched(made, page, host, port, token, quiet=quiet)
    if interrupted:
        typer.echo(f"stempede: stopped; settle it with 'stempede resume {out}'", err=True)
        raise typer.Exit(130)
    finish_watched(out, quiet=quiet, allowed=allow_problems)


@contextlib.contextmanager
def _source(source: str, out: Path, token: str, *, quiet: bool) -> Iterator[str]:
    """Yield the folder to watch: an inbox that takes frames where an address is given."""
    if not source.startswith("http://"):
        yield source
        return
    from stempede.live.push import Receiver

    parts = urlsplit(source)
    if parts.port is None or not parts.hostname:
        raise InputError(f"an address such as http://127.0.0.1:8900 wanted, found '{source}'")
    inbox = out.absolute().with_name(f"{out.name}.inbox")
    with Receiver(inbox, parts.hostname, parts.port, token) as receiver:
        if not quiet:
            typer.echo(f"frames: PUT {receiver.address}/frames/NAME (kept in {inbox})", err=True)
        yield str(inbox)


def _watched(made: Any, page: bool, host: str, port: int, token: str, *, quiet: bool) -> bool:
    """Watch until an end; whether it was a signal that ended it."""
    from stempede.dashboard.serve import Page

    stop = threading.Event()

    def ask(*_: object) -> None:
        stop.set()

    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Page(made.out, host, port, token) if page else contextlib.nullcontext() as served:
            if served is not None and not quiet:
                typer.echo(served.address, err=True)
            made.run(stop)
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
    return stop.is_set()
