"""The command line: ``stempede COMMAND``.

Exit status 0: done. 1: done, with problem rows above the allowed fraction or with no frame that
could be read. 2: nothing was started, and no output folder is left behind. 130: interrupted; what
was measured is kept.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from stempede.cli.app import app
from stempede.errors import StempedeError

# importing a module registers its commands
from stempede.cli import (  # noqa: F401  # isort: skip
    classify,
    demo,
    export,
    inspect,
    measure,
    replay,
    sessions,
    train,
    train_denoise,
    train_unet,
    watch,
)

__all__ = ["app", "main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave the process with its exit status."""
    # only our own words: Dask and the readers log for their developers
    log = logging.getLogger("stempede")
    log.handlers = [logging.StreamHandler(sys.stderr)]
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        app(args=arguments)
    except StempedeError as error:
        log.error("stempede: %s", error)
        sys.exit(2)
