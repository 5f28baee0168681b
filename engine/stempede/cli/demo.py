"""``stempede demo FOLDER``: a sample session with known truth, measured, in ten lines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from stempede.cli.app import app
from stempede.cli.progress import Progress
from stempede.cli.sessions import simulate
from stempede.cli.summary import size_with_interval, summarise

FRAMES = 20


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where the sample and its run are put.")] = Path(
        "demo"
    ),
) -> None:
    """Simulate a session, measure it, and set the answer beside the truth."""
    from stempede.report.page import write_report
    from stempede.session import Session
    from stempede.stage import door

    sample, run = folder / "sample", folder / "run"
    if not (sample / "truth" / "particles.parquet").is_file():
        typer.echo(f"simulating {FRAMES} micrographs into {sample}", err=True)
        simulate("particles", sample, frames=FRAMES, quiet=True)
    session = (
        Session.resume(run)
        if (run / "run.json").is_file()
        else Session(
            "particles", door("open_frames")(str(sample / "session.zarr"), sample="demo"), run
        )
    )
    page = run / "report.html"
    if not ((run / "run.json").is_file() and session.finished and page.is_file()):
        with Progress() as progress:
            session.run(progress)
        write_report(run)
    typer.echo("\n".join(_lines(summarise(run), _truth(sample), session)))
    typer.echo(page.resolve())


def _truth(sample: Path) -> dict[str, float]:
    """Return what a perfect measurement of the sample finds.

    Sizes are those of the particles whose centre lies in the frame: the whole population, not
    the small ones that the border cuts less often.
    """
    import pyarrow.parquet as pq

    from stempede.simulate.micrograph import Population

    table = pq.read_table(sample / "truth" / "particles.parquet").to_pydict()
    y, x, size = (np.array(table[name]) for name in ("y_px", "x_px", "major_axis_nm"))
    height, width = Population.height_px, Population.width_px
    size = size[(y >= -0.5) & (x >= -0.5) & (y < height - 0.5) & (x < width - 0.5)]
    return {
        "particles": int((np.array(table["label"]) > 0).sum()),
        "mean": float(size.mean()),
        "relative_sd": float(size.std(ddof=1) / size.mean()),
    }


def _lines(summary: dict[str, Any], truth: dict[str, float], session: Any) -> list[str]:
    name = summary["size"].replace("_", " ")
    return [
        f"frames          {summary['frames']} ({summary['problems']} with problems)",
        f"particles       {summary['particles']} found, {truth['particles']} true",
        f"accepted        {summary['accepted']} whole and single",
        f"mean {name:<11}{size_with_interval(summary, 'mean', 'nm')}",
        f"  truth         {truth['mean']:.2f} nm",
        f"σ/d             {size_with_interval(summary, 'relative_sd', '')}",
        f"  truth         {truth['relative_sd']:.3f}",
        f"particles/min   {summary['particles_per_min']:,.0f} on {session.results.run['device']}",
        f"tables          {', '.join(session.results.tables())}",
    ]
