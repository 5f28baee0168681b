"""Pixels and label maps of the frames of a run, read again for the overlays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stempede.errors import ResultsError, StempedeError
from stempede.frames import Frames
from stempede.io.maps import MapStore
from stempede.io.results import Results


@dataclass(frozen=True)
class Pixels:
    """Where the images of a run are read from.

    Parameters
    ----------
    frames : Frames or None
        The frames that the run began with; None where they cannot be had.
    reason : str
        Why not.
    maps : MapStore
        Maps that the run kept.
    """

    frames: Frames | None
    reason: str
    maps: MapStore

    @classmethod
    def of(cls, run: Path) -> Pixels:
        """Find the frames of a run folder again; files are opened when a frame is read."""
        maps = MapStore(run)
        try:
            return cls(Results(run).frames(), "", maps)
        except StempedeError as error:
            return cls(None, str(error), maps)

    def image(self, frame: int) -> np.ndarray:
        """Return the (y, x) float32 pixels of a frame, in counts.

        Raises
        ------
        InputError, ResultsError
            The source is not there any more, or cannot be read.
        """
        if self.frames is None:
            raise ResultsError(self.reason)
        (record,) = self.frames.select([frame]).records
        return self.frames.load(record)

    def labels(self, frame: int) -> np.ndarray | None:
        """Return the (y, x) label map of a frame, None where the run kept none."""
        if not self.maps.path("labels", frame).is_dir():
            return None
        return self.maps.read("labels", frame)
