"""Reports: one page and its figures from a run folder."""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_report"]


def write_report(run: Path | str) -> Path:
    """Write ``report.html`` and ``figures/`` of a run, finished or not.

    The page stands alone: it opens offline and carries its figures. What a run lacks (particles,
    calibration, label maps, the source files) is said on the page and left out.

    Parameters
    ----------
    run : Path
        Run folder.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ResultsError
        The folder is not a run.
    """
    from stempede.report.findings import gather
    from stempede.report.folder import RunFolder
    from stempede.report.page import render

    found = gather(RunFolder.open(run))
    folder = found.run.path / "figures"
    folder.mkdir(exist_ok=True)
    page = found.run.path / "report.html"
    temporary = page.with_name(".report.html")
    temporary.write_text(render(found, folder), encoding="utf-8")
    temporary.replace(page)
    return page
