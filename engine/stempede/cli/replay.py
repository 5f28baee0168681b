"""``stempede replay``: feed a recorded session into a folder as a microscope would."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stempede.cli.app import FrameRange, Quiet, Source, app, parse_slice
from stempede.cli.progress import Progress


@app.command()
def replay(
    session: Source,
    into: Annotated[Path, typer.Option("--into", help="Folder that fills.")],
    rate: Annotated[float, typer.Option(help="Frames per second.")] = 5.0,
    trouble: Annotated[
        str,
        typer.Option(
            help="Comma-separated: bursts, pauses, late, partial, duplicates, disorder; or all."
        ),
    ] = "",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    frames: FrameRange = None,
    quiet: Quiet = False,
) -> None:
    """Write the frames of a session into a folder at a rate, with the troubles of real ones."""
    from stempede.io.sources import open_frames
    from stempede.live.replay import TROUBLES, steps
    from stempede.live.replay import replay as feed

    opened = open_frames(session, frames=parse_slice(frames))
    troubles = TROUBLES if trouble == "all" else tuple(t.strip() for t in trouble.split(",") if t)
    plan = steps(len(opened), rate, troubles, seed)
    with Progress(quiet=quiet, unit="") as progress:
        n = feed(opened, into, plan, told=progress)
    if not quiet:
        typer.echo(f"{n} frames in {into}")
