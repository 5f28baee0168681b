"""Commands that train what runs later: ``stempede train KIND``."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

import typer

from stempede.cli.app import AsJson, Quiet, app

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

    with _Phases(quiet=quiet or as_json) as news:
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


class _Phases:
    """A bar per phase of a training, with the time left; silent when asked."""

    def __init__(self, *, quiet: bool) -> None:
        self._bar: Any = None if quiet else _make_bar()
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> _Phases:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, phase: str, done: int, total: int, remark: str) -> None:
        """Take what is being done, how much of it is done, of how much, and a remark."""
        if self._bar is None:
            return
        if phase not in self._tasks:
            # the time left is told from what this process did itself
            self._tasks[phase] = self._bar.add_task(phase, total=total, remark="")
        self._bar.update(self._tasks[phase], completed=done, total=total, remark=remark)


def _make_bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    return Bar(
        TextColumn("{task.description:<14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[remark]}"),
        console=Console(file=sys.stderr),
    )
