"""Commands of the classifier: ``train classifier`` learns one, ``classify`` applies it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from stempede.cli.app import (
    AsJson,
    Quiet,
    Run,
    SetOption,
    Source,
    app,
    parse_bytes,
)
from stempede.cli.measure import Allowed, Device, Memory, Workers, finish
from stempede.cli.source_options import SourceOptions, open_session, with_source_options
from stempede.cli.train import train
from stempede.errors import InputError

Truth = Annotated[
    Path | None,
    typer.Option("--truth", help="truth/ of a simulated session; found beside session.zarr."),
]


@train.command("classifier")
def classifier(
    run: Run,
    labels: Annotated[
        str, typer.Option("--labels", help="What to learn: group, sample, or truth (simulated).")
    ] = "group",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the classifier; RUN/classifier-LABELS.")
    ] = None,
    features: Annotated[
        str, typer.Option("--features", help="Feature set of the model that is kept.")
    ] = "auto",
    trials: Annotated[
        int, typer.Option("--trials", min=1, help="Pairs of C and gamma that the search tries.")
    ] = 30,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    most: Annotated[
        int, typer.Option("--most", min=100, help="Particles looked at, drawn by seed.")
    ] = 3_000,
    compare: Annotated[
        bool, typer.Option("--compare/--no-compare", help="Judge the other feature sets, too.")
    ] = True,
    truth: Truth = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Learn to tell the groups or samples of a run apart, and say how well that goes."""
    from stempede.classification import train_classifier
    from stempede.report.page import write_report

    card = train_classifier(
        run,
        out,
        labels=labels,
        truth=truth,
        features=features,
        trials=trials,
        seed=seed,
        most=most,
        compare=compare,
        say=lambda words: None if quiet or as_json else typer.echo(words, err=True),
    )
    write_report(run)
    if as_json:
        typer.echo(json.dumps({k: v for k, v in card.items() if k != "training"}, indent=1))
    elif not quiet:
        typer.echo("\n".join(_lines(card)))
        typer.echo(card["path"])


def _lines(card: dict[str, Any]) -> list[str]:
    """Return what a person reads of a card."""
    counts = ", ".join(f"{name} ({n})" for name, n in card["class_counts"].items())
    lines = [
        f"classes          {counts}",
        f"features         {card['features']}, {len(card['terms'])} of them"
        + (f", sizes in {card['unit']}" if any("_nm" in f for f in card["fields"]) else ""),
        f"machine          C {card['C']:.3g}, gamma {card['gamma']:.3g} of {card['trials']} trials",
    ]
    said = dict.fromkeys(row["says"] for row in card["scores"])
    for says in said:
        lines.append(says)
        lines += [
            f"  by {row['split']}, {row['measure']}".ljust(44) + _score(row)
            for row in card["scores"]
            if row["says"] == says and row["score"] == "accuracy"
        ]
    return [*lines, *card["notes"]]


def _score(row: dict[str, Any]) -> str:
    text = f"{row['value']:.1%}"
    if row["ci_low"] is None:
        return f"{text} (CI not available: fewer than 5 images)"
    return f"{text} [{row['ci_low']:.1%}, {row['ci_high']:.1%}] of {row['n']}"


@app.command()
@with_source_options
def classify(
    source: Source,
    model: Annotated[Path, typer.Option("--model", help="Folder of a classifier.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the new run; not for a SOURCE that is a run."),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="Instead of the training run's own recipe.")
    ] = None,
    assignments: SetOption = None,
    any_scale: Annotated[
        bool, typer.Option("--any-scale", help="Use a model learnt in px on calibrated images.")
    ] = False,
    said: SourceOptions = SourceOptions(),  # noqa: B008 -- frozen
    truth: Truth = None,
    device: Device = "auto",
    workers: Workers = None,
    memory: Memory = None,
    allow_problems: Allowed = 0.1,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Measure new images and give every particle a class; of a run, its particles only."""
    if (Path(source) / "run.json").is_file():
        if out is not None:
            raise InputError(
                f"{source} is a run: its particles are classified where they are; "
                f"leave --out away, or name the images"
            )
        _in_place(Path(source), model, truth, any_scale=any_scale, quiet=quiet, as_json=as_json)
        return
    if out is None:
        raise InputError("classify wants --out for the run of new images; found none; name it")
    from stempede.classification import classifying, refuse_uncalibrated
    from stempede.session import RunOptions

    chosen = classifying(model, recipe, any_scale=any_scale)
    options = RunOptions(device=device, workers=workers, memory_bytes=parse_bytes(memory))
    session = open_session(source, chosen, assignments or [], out, options, said, quiet=quiet)
    if said.scale_bar_nm is None:
        refuse_uncalibrated(model, session.frames)
    judged = partial(_judged, out, model, truth)
    finish(session, quiet=quiet, as_json=as_json, allowed=allow_problems, before_report=judged)


def _in_place(
    run: Path, model: Path, truth: Path | None, *, any_scale: bool, quiet: bool, as_json: bool
) -> None:
    from stempede.classification import classify_run
    from stempede.report.page import write_report

    counts = classify_run(run, model, any_scale=any_scale, truth=truth)
    page = write_report(run)
    if as_json:
        typer.echo(json.dumps({"run": str(run), "classes": counts, "report": str(page)}, indent=1))
    elif not quiet:
        typer.echo("\n".join(_counted(counts)))
        typer.echo(page)


def _judged(run: Path, model: Path, truth: Path | None) -> list[str]:
    """Add the scores against the truth of a simulated session; return counts of classes."""
    from stempede.classification import counts_of_classes, judge_by_truth
    from stempede.io.results import Results
    from stempede.particles.classify.model_file import read_card

    results, card = Results(run), read_card(model)
    judge_by_truth(results, card, truth)
    return _counted(counts_of_classes(results, card))


def _counted(counts: dict[str, int]) -> list[str]:
    total = sum(counts.values())
    return [f"{name:<16} {n:,} ({n / total:.1%})" if total else name for name, n in counts.items()]
