"""``stempede train denoise``: the network that low-dose lattices are looked at with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stempede.cli.app import AsJson, Quiet
from stempede.cli.progress import Phases
from stempede.cli.train import train


@train.command("denoise")
def denoise(
    out: Annotated[Path, typer.Option("--out", help="Folder of weights and card.")] = Path(
        "denoise-network"
    ),
    scenes: Annotated[int, typer.Option(min=16, help="Simulated scenes to learn from.")] = 4000,
    epochs: Annotated[int, typer.Option(min=1, help="Of 400 steps of 8 crops.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train the denoising network on simulated lattices; goes on where it was interrupted.

    Use it with --set denoise.method=pretrained --set denoise.weights=OUT/denoise.pt
    """
    from stempede.inference import require_torch

    require_torch("denoise")
    from stempede.models.denoise import make
    from stempede.models.denoise_train import Training

    with Phases(quiet=quiet or as_json) as news:
        made = make(Training(scenes, epochs, seed), out, news=news)
    if as_json:
        typer.echo(made.weights.with_suffix(".json").read_text("utf-8").strip())
    elif not quiet:
        held = made.card["held_out"]
        typer.echo(f"crops judged    {held['samples']:,} that did not train")
        typer.echo(
            f"error           {held['error_over_best_blur']:.2f} of the best blur's (median)"
        )
        typer.echo(made.weights)
