"""Commands that make and calibrate sessions: ingest, simulate, calibrate."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from stempede.cli.app import (
    AsJson,
    Quiet,
    ScaleBar,
    Signal,
    app,
)
from stempede.cli.progress import Progress
from stempede.cli.source_options import SourceOptions, with_source_options
from stempede.errors import InputError

Codec = Annotated[
    str, typer.Option(help="zstd (small), blosc-lz4 (fast to read) or none (fastest, large).")
]


@app.command()
@with_source_options
def ingest(
    paths: Annotated[list[str], typer.Argument(help="SOURCE... SESSION.zarr")],
    said: SourceOptions = SourceOptions(),  # noqa: B008 -- frozen
    codec: Codec = "blosc-lz4",
    frames_per_shard: Annotated[
        int | None, typer.Option(min=1, help="Frames per file, for object stores.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Put microscope files into a calibrated, chunked session that any zarr reader opens."""
    from stempede.io.ingest import ingest as write
    from stempede.io.sources import open_frames

    if len(paths) < 2:
        raise InputError("ingest wants SOURCE... SESSION.zarr; found one path; name both")
    *sources, destination = paths
    opened = open_frames(sources if len(sources) > 1 else sources[0], **said.told)
    for note in opened.notes:
        typer.echo(note, err=True)
    with Progress(quiet=quiet, unit="") as progress:
        made = write(
            opened,
            Path(destination),
            codec=codec,
            frames_per_shard=frames_per_shard,
            progress=progress,
        )
    if not quiet:
        typer.echo(
            f"{made.n_frames} frames in {made.n_stacks} stacks, {made.n_problems} with problems, "
            f"{made.n_bytes / 2**20:.0f} MiB in {made.seconds:.1f} s"
        )
        typer.echo(made.destination)


@app.command()
def simulate(
    route: Annotated[str, typer.Argument(help="What to simulate: particles or columns.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for session.zarr and truth/.")],
    frames: Annotated[int, typer.Option(min=1, help="How many frames.")] = 20,
    size: Annotated[
        int | None, typer.Option(min=64, help="Height and width, px; 1024 (columns: 512).")
    ] = None,
    dose: Annotated[
        float | None, typer.Option(min=1, help="Of columns: electrons per square Angstrom.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    parameters: Annotated[
        list[str] | None, typer.Option("--set", help="mean_size_nm=20, or of columns tilt_deg=6")
    ] = None,
    mixture: Annotated[
        str | None,
        typer.Option(help="Of particles: groups of known shape: one, four, session, or a TOML."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Make a session of images whose every particle, or every atom column, is known."""
    from stempede.cli.lattices import rendered_lattices
    from stempede.io.ingest import write_session

    if route not in {"particles", "columns"}:
        raise InputError(f"simulate knows 'particles' and 'columns'; found '{route}'; correct it")
    if route == "particles" and dose is not None:
        raise InputError("--dose is for columns; particles take noise=low with --set")
    if route == "columns" and mixture is not None:
        raise InputError("--mixture is for particles; columns take a crystal with --set")
    if out.exists() and any(out.iterdir()):
        raise InputError(f"an empty folder was wanted, but {out} holds files; choose another --out")
    truth: list[Any] = []
    with Progress(quiet=quiet, unit=route) as progress:
        if route == "particles":
            if mixture is not None:
                population = _mixture(mixture, parameters or [], size)
            else:
                population = _population(parameters or [], size or 1024)
            rendered = _rendered(population, frames, seed, truth, progress)
        else:
            lattices = _lattices(parameters or [], size or 512, dose)
            rendered = rendered_lattices(lattices, frames, seed, truth, progress)
        write_session(out / "session.zarr", rendered)
    _write_truth(out, truth)
    if not quiet:
        typer.echo(out / "session.zarr")


def _population(parameters: list[str], size: int) -> Any:
    from stempede.simulate.micrograph import Population

    values: dict[str, Any] = {"height_px": size, "width_px": size}
    # the default density of particles, whatever the size of the frame
    values["count"] = Population.count * size**2 / (Population.height_px * Population.width_px)
    return _with_assignments(Population, values, parameters)


def _mixture(source: str, parameters: list[str], size: int | None) -> Any:
    from stempede.simulate.mixture import load_mixture
    from stempede.simulate.population import Population

    frame = {} if size is None else {"height_px": size, "width_px": size}
    return load_mixture(source, {**frame, **_assigned(Population, parameters)})


def _lattices(parameters: list[str], size: int, dose: float | None) -> Any:
    from stempede.simulate.lattices import Lattices

    values: dict[str, Any] = {"height_px": size, "width_px": size}
    if dose is not None:
        values["dose"] = dose
    return _with_assignments(Lattices, values, parameters)


def _with_assignments(kind: Any, values: dict[str, Any], parameters: list[str]) -> Any:
    """Return a dataclass of these values and ``name=value`` assignments."""
    return kind(**{**values, **_assigned(kind, parameters)})


def _assigned(kind: Any, parameters: list[str]) -> dict[str, Any]:
    """Read ``name=value`` assignments as the fields of a dataclass."""
    values: dict[str, Any] = {}
    kinds: dict[str, Any] = {f.name: type(f.default) for f in dataclasses.fields(kind)}
    for assignment in parameters:
        name, equals, text = assignment.partition("=")
        if name not in kinds or not equals:
            raise InputError(
                f"--set wants one of {', '.join(kinds)} as name=value; found '{assignment}'"
            )
        try:
            values[name] = kinds[name](text)
        except ValueError as error:
            raise InputError(f"{name} is a {kinds[name].__name__}; found '{text}'") from error
    return values


def _rendered(population: Any, n: int, seed: int, truth: list[Any], progress: Progress) -> Any:
    """Yield (image, record) for the writer and collect the truth on the way."""
    from stempede.frames import Calibration, FrameRecord
    from stempede.simulate.micrograph import frames

    size_nm = population.pixel_size_nm
    calibration = Calibration(size_nm, size_nm, "file", 0.0)
    start, n_particles = time.perf_counter(), 0
    for k, (image, _, table) in enumerate(frames(population, n, seed)):
        truth.append({"particles": table})
        n_particles += len(table)
        progress(k + 1, n, n_particles, time.perf_counter() - start)
        # without a source of its own a frame comes from the session it is written to
        yield image, FrameRecord(k, "", 0, image.shape, str(image.dtype), calibration)


def _write_truth(out: Path, truth: list[dict[str, Any]]) -> None:
    import pyarrow.parquet as pq

    from stempede.tables import Table

    folder = out / "truth"
    folder.mkdir(parents=True, exist_ok=True)
    for name in truth[0]:
        table = Table.concat([tables[name] for tables in truth])
        pq.write_table(table.to_arrow(), folder / f"{name}.parquet")


@app.command()
def calibrate(
    reference: Annotated[str, typer.Argument(help="Image of a lattice, or with a scale bar.")],
    lattice_nm: Annotated[
        float | None, typer.Option("--lattice-nm", help="Known spacing of the lattice.")
    ] = None,
    scale_bar_nm: ScaleBar = None,
    signal: Signal = None,
    out: Annotated[
        Path, typer.Option("--out", help="JSON for `--calibration` of ingest and run.")
    ] = Path("calibration.json"),
    as_json: AsJson = False,
) -> None:
    """Measure the pixel size on a reference and write it for other images to use."""
    from stempede.reference import calibrate as measure

    typer.echo(
        measure(
            reference, out, lattice_nm=lattice_nm, scale_bar_nm=scale_bar_nm, signal=signal
        ).describe(as_json=as_json)
    )
