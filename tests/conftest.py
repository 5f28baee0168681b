"""Fixtures shared by all tests: where the public data lie, and the scale of statistical studies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import threadpoolctl
from hypothesis import settings

# no deadline: the first example of a kernel compiles it. The same examples every time, so that
# a failure means the change at hand; `--hypothesis-profile=explore` looks for new ones
settings.register_profile("stempede", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile("stempede")

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    # matrices of a few hundred rows: threads that wait for each other cost more than they
    # give, tenfold where another process wants the cores
    threadpoolctl.threadpool_limits(1, "blas")
    # SciPy's own, which is loaded later, listens to the thread above alone
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--scale",
        type=float,
        default=0.05,
        help="share of a statistical study that is run; 1 is the whole and writes its JSON",
    )


@pytest.fixture(scope="session")
def study_scale(request: pytest.FixtureRequest) -> float:
    """Share of each statistical study to run."""
    return float(request.config.getoption("--scale"))


@pytest.fixture(scope="session")
def public_data() -> Path:
    """Folder of public micrographs; tests that need it skip where it is not there."""
    folder = Path(os.environ.get("STEMPEDE_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "micrographs").is_dir():
        pytest.skip(f"public micrographs are not at {folder}; set STEMPEDE_DATA to their folder")
    return folder
