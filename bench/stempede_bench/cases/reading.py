"""Reading: the codecs of a session against each other, TIFF against tifffile."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stempede_bench.contract import Case, Contender, DisagreementError, Work
from stempede_bench.inputs import simulated

CODECS = ("blosc-lz4", "zstd", "none")
FRAMES = 4


class _Reading(Case):
    unit = "megabytes"
    varies = ("side",)

    @cached_property
    def folder(self) -> Path:
        """A folder that ends with the case."""
        path = tempfile.mkdtemp(prefix="stempede-bench-")
        weakref.finalize(self, shutil.rmtree, path)
        return Path(path)

    @property
    def images(self) -> np.ndarray:
        """(b, y, x) uint16: what is written and read."""
        return simulated(replace(self.scene, batch=FRAMES))[0]

    def items(self) -> int:
        """Return megabytes of pixels per call."""
        return max(1, round(self.images.nbytes / 1e6))

    def work(self) -> Work:
        """Pixels are written to memory once."""
        return Work(bytes=self.images.nbytes)

    def agree(self, outputs: Mapping[str, Any]) -> dict[str, float]:
        """Every reader gives the very pixels that were written."""
        for name, found in outputs.items():
            if not np.array_equal(found, self.images):
                raise DisagreementError(f"{name} changes pixels")
        return {"pixels that differ": 0.0}


class Codecs(_Reading):
    """A session's frames decoded, by the codec they were ingested with; ours is the default."""

    name = "codecs"

    def contenders(self) -> tuple[Contender, ...]:
        """Return one reader per codec of ``stempede ingest``."""
        return tuple(self._reader(codec) for codec in CODECS)

    def agree(self, outputs: Mapping[str, Any]) -> dict[str, float]:
        """Compare the pixels; say what each codec takes on disk."""
        share = {f"size with {c}": self._size(c) / self.images.nbytes for c in CODECS}
        return super().agree(outputs) | share

    def _reader(self, codec: str) -> Contender:
        from stempede.frames import FrameRecord
        from stempede.io.session_write import write_session
        from stempede.io.sources import open_frames

        path = self.folder / f"{codec}.zarr"
        records = [FrameRecord(k, "", k, im.shape, "uint16") for k, im in enumerate(self.images)]
        write_session(path, zip(self.images, records, strict=True), codec=codec)
        frames = open_frames(path)
        name = f"stempede session, {codec}"
        return Contender(name, lambda: np.stack([frames.reader(r) for r in frames.records]))

    def _size(self, codec: str) -> int:
        files = (self.folder / f"{codec}.zarr" / "stacks").rglob("*")
        return sum(file.stat().st_size for file in files if file.is_file())


class Tiff(_Reading):
    """Uncompressed 16-bit TIFF files, one frame each."""

    name = "tiff"

    def contenders(self) -> tuple[Contender, ...]:
        """Return our reader, calibration and all, and tifffile's."""
        import tifffile

        from stempede.io.sources import open_frames

        files = [self.folder / f"{k:03d}.tif" for k in range(len(self.images))]
        for file, image in zip(files, self.images, strict=True):
            tifffile.imwrite(file, image)
        frames = open_frames(self.folder)
        return (
            Contender(
                "stempede open_frames", lambda: np.stack([frames.reader(r) for r in frames.records])
            ),
            Contender("tifffile.imread", lambda: np.stack([tifffile.imread(f) for f in files])),
        )
