"""Commands that train what runs later: ``stempede train KIND``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stempede.cli.app import AsJson, Quiet, app
from stempede.cli.progress import Phases

train = typer.Typer(help="Train networks and classifiers.", no_args_is_help=True)
app.add_typer(train, name="train")


@train.command("shape")
def shape(
    out: Annotated[
        Path, typer.Option("--out", help="Folder of weights, card and diagnostics.")
    ] = Path("shape-network"),
    crops: Annotated[
        int, typer.Option(min=1280, help="Simulated crops: 70 % train, 10 % choose, 20 % judge.")
    ] = 65_000,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training part.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or gpu.")] = "auto",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train the shape network on simulated crops; goes on where it was interrupted.

    Use it with --set particles.shapes.weights=OUT/shape.pt
    """
    from stempede.inference import require_torch

    require_torch("shape")
    from stempede.models.shape import make
    from stempede.models.train import Training

    with Phases(quiet=quiet or as_json) as news:
        made = make(Training(crops, epochs, seed), out, device=device, news=news)
    if as_json:
        typer.echo(made.weights.with_suffix(".json").read_text("utf-8").strip())
    elif not quiet:
        typer.echo("\n".join(_lines(made.card)))
        typer.echo(made.weights)


def _lines(card: dict[str, Any]) -> list[str]:
    held = card["held_out"]
    return [
        f"crops judged    {held['crops']:,} that did not train",
        f"d right         {held['d_right']:.1%}; {held['d_right_where_sure']:.1%} of the "
        f"{held['sure']:.0%} it is sure of",
        f"p, L            {held['median_relative_error_p']:.1%} and "
        f"{held['median_relative_error_l']:.1%} off (medians)",
        f"outline         Jaccard {held['outline_jaccard_mean']:.3f} before any refinement",
        f"turned crops    {held['turned']['same_d']:.1%} keep their d",
    ]
