"""Preview of a columns recipe: the network of one frame, drawn over it and kept as a PNG."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import numpy as np

from stempede.errors import ResultsError
from stempede.frames import Batch
from stempede.report import figures
from stempede.report.dots.network import draw_network
from stempede.report.folder import Columns

_DPI = 160


def network_png(path: Path | str, batch: Batch) -> Path:
    """Draw columns and octahedra over the first image of a measured batch.

    Parameters
    ----------
    path : Path
        File to write.
    batch : Batch
        After the columns route.

    Raises
    ------
    ResultsError
        The file cannot be written.
    """
    path = Path(path)
    image = np.asarray(batch.backend.download(batch.images[0], "preview"))
    columns, octahedra = (
        Columns(dict(batch.tables[name].columns)) for name in ("columns", "octahedra")
    )
    whole = (slice(0, image.shape[0]), slice(0, image.shape[1]))
    temporary = path.with_name(f".{path.stem}-{uuid4().hex}.png")
    try:
        with figures.styled():
            draw_network(image, columns, octahedra, whole).savefig(temporary, dpi=_DPI)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ResultsError(f"cannot write {path} ({error}); name another --out") from error
    return path
