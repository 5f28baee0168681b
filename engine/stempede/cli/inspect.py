"""Commands that look at things: stages, doctor, bench, report, compare, export."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from stempede.cli.app import AsJson, Run, app
from stempede.errors import InputError

LIBRARIES = {
    "base": ("numpy", "scipy", "scikit-image", "scikit-learn", "numba", "zarr", "dask"),
    "files": ("rosettasciio", "tifffile", "pyarrow", "h5py"),
    "torch": ("torch",),
    "gpu": ("triton", "cupy-cuda13x", "cucim-cu13", "kvikio-cu13"),
    "rapids": ("cuml-cu13", "dask-cuda"),
}


@app.command()
def stages(as_json: AsJson = False) -> None:
    """List the stages a recipe may name, with every parameter and its default."""
    from stempede.stage import KINDS, find

    listing = {
        kind: {name: _parameters(find(kind, name)) for name in names}
        for kind, names in KINDS.items()
    }
    if as_json:
        typer.echo(json.dumps(listing, indent=1, default=str))
        return
    for kind, entries in listing.items():
        for name, parameters in entries.items():
            typer.echo(f"[[{kind}]] {name}")
            for parameter, default in parameters.items():
                typer.echo(f"    {parameter} = {default!r}")


def _parameters(cls: type) -> dict[str, Any]:
    made = cls()
    if not dataclasses.is_dataclass(made):
        return {}
    return {f.name: getattr(made, f.name) for f in dataclasses.fields(made)}


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what this machine offers, which backend `auto` takes, and why."""
    from stempede import __version__
    from stempede.backend import Backend, gpu_problem, host_free_bytes

    backend = Backend.choose("cpu" if gpu_problem() else "gpu")
    facts: dict[str, Any] = {
        "stempede": __version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "free memory": f"{host_free_bytes() / 2**30:.1f} GiB",
        "device auto": f"{backend.name} ({backend.device})",
        "why": gpu_problem() or "a CUDA device is there",
    }
    versions = {group: {n: _version(n) for n in names} for group, names in LIBRARIES.items()}
    if as_json:
        typer.echo(json.dumps({**facts, "libraries": versions}, indent=1))
        return
    for name, value in facts.items():
        typer.echo(f"{name:<14}{value}")
    for group, found in versions.items():
        listed = ", ".join(f"{n} {v or '-'}" for n, v in found.items())
        typer.echo(f"{group:<14}{listed}")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def bench(context: typer.Context) -> None:
    """Measure speed against named peers; see `stempede bench --help-cases`."""
    runner = importlib.import_module("stempede_bench.run")
    arguments = ["--help" if a == "--help-cases" else a for a in context.args]
    raise typer.Exit(runner.main(arguments))


@app.command()
def report(
    run: Run,
    style: Annotated[
        str, typer.Option(help="page: report.html; paper: figures of 85 or 170 mm, in RUN/paper.")
    ] = "page",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of --style paper instead of RUN/paper.")
    ] = None,
) -> None:
    """Make the report of a run anew, or its figures for a paper; prints where it is."""
    from stempede.report.page import write_report
    from stempede.report.paper import write_paper

    if style not in {"page", "paper"}:
        raise InputError(f"--style is page or paper; found '{style}'; correct it")
    if style == "page" and out is not None:
        raise InputError("--out is for --style paper; the page lies in the run; leave one out")
    typer.echo(write_report(run) if style == "page" else write_paper(run, out))


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; one alone with --by.")],
    by: Annotated[
        str | None,
        typer.Option("--by", help="Compare within one run by labels: sample,batch,reaction_time"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for comparison.html, figures and CSV files."),
    ] = None,
) -> None:
    """Set runs side by side, or samples and batches of one: sizes, groups, tests with intervals."""
    from stempede.report import compare as comparing
    from stempede.report.dots.compare import compare_dots

    labels = [name.strip() for name in (by or "").split(",") if name.strip()]
    if len(runs) < 2 and not labels:
        raise InputError(
            "compare wants two runs or more, or one with --by; found one; name another run folder"
        )
    dots = [run for run in runs if (run / "columns").is_dir()]
    if dots and (len(dots) < len(runs) or labels or out is not None):
        other = next((run for run in runs if run not in dots), None)
        raise InputError(
            f"compare wants runs of one route, and --by and --out those of particles; {dots[0]} "
            f"has columns{f', {other} particles' if other else ''}; compare each with its like"
        )
    if dots:
        typer.echo(compare_dots(runs))
        return
    if not labels:
        typer.echo(comparing.compare_runs(runs))
        typer.echo("")
    try:
        found = comparing.compare(runs, labels)
    except InputError as error:
        if labels or out is not None:
            raise
        # the table above stands without tests
        typer.echo(str(error))
        return
    typer.echo(comparing.told(found))
    if out is not None:
        typer.echo(comparing.write_comparison(found, out))
