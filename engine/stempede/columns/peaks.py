"""Peaks: candidates for columns, at the places where a frame looks most like one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stempede.backend import Backend
from stempede.columns.response import (
    WIDE,
    Response,
    column_width,
    poisson_like,
    respond,
    root_ratio,
)
from stempede.frames import Batch, Problem
from stempede.tables import Field, Schema, Table, declare

PEAKS = declare(
    Schema(
        "peaks",
        (
            Field("frame", "int64", "", "frame number"),
            Field("y_px", "float64", "px", "place of the filter's maximum, to a part of a pixel"),
            Field("x_px", "float64", "px"),
            Field("height", "float64", "counts", "counts of a column there"),
            Field("significance", "float64", "", "root of the likelihood ratio against none"),
            Field("sigma_px", "float64", "px", "width of the frame's columns"),
        ),
        internal=True,
    )
)


@dataclass(frozen=True)
class Peaks:
    """Find maxima of a matched filter whose width is that of the frame's own columns.

    No distance between columns is wanted: the width comes from the autocorrelation, which
    white noise does not touch beyond lag zero. Where a stage before wrote the map ``denoised``,
    maxima are looked for on it; how significant they are is asked of the counts.

    Parameters
    ----------
    sigma_px : float
        Width of a column; 0 estimates it for each frame.
    min_significance : float
        Root of the likelihood ratio below which a maximum is left out. Low on purpose: the
        lattice decides what is a column.
    """

    sigma_px: float = 0.0
    min_significance: float = 1.5

    name: ClassVar[str] = "columns.peaks"
    reads: ClassVar[tuple[str, ...]] = ("electrons", "valid")
    writes: ClassVar[tuple[str, ...]] = ("peaks",)

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with ``peaks``, in order of frame, y and x."""
        tables, problems = [], []
        for k, frame in enumerate(batch.frames):
            seen = response_of(batch, k, sigma_px=self.sigma_px)
            if seen is None:
                reason = "no column found: nothing in the frame stands out of its noise"
                problems.append(Problem(int(frame), self.name, reason))
                continue
            quieter = batch.maps.get("denoised")
            found = maxima(seen, batch.backend, None if quieter is None else quieter[k])
            found = {n: v[found["significance"] >= self.min_significance] for n, v in found.items()}
            n = len(found["y_px"])
            found |= {"frame": np.full(n, frame), "sigma_px": np.full(n, seen.sigma_px)}
            tables.append(Table(PEAKS, found))
        table = Table.concat(tables) if tables else Table.empty(PEAKS)
        return batch.with_(tables={"peaks": table}, problems=problems)


def response_of(batch: Batch, k: int, *, sigma_px: float = 0.0) -> Response | None:
    """Return the response of the k-th frame of a batch; None where it shows no columns.

    Parameters
    ----------
    batch : Batch
        With map ``electrons`` and the noise fields of ``frames``.
    k : int
    sigma_px : float
        Width of a column; 0 estimates it.
    """
    backend, xp = batch.backend, batch.backend.xp
    image, valid = batch.maps["electrons"][k], batch.maps["valid"][k]
    valid = valid & xp.isfinite(image)
    if not bool(valid.any()):
        return None
    image = xp.where(valid, image, xp.median(image[valid]))
    frames = batch.tables["frames"]
    read_noise = float(np.nan_to_num(frames["read_noise_electrons"][k]))
    model = str(frames["noise_model"][k]) or "poisson"
    counts, scale, shift = poisson_like(image, backend, model=model, read_noise=read_noise)
    if not float(counts.max()) > float(counts.min()):
        return None
    sigma = sigma_px or column_width(counts, backend)
    if not np.isfinite(sigma):
        return None
    return respond(counts, valid, backend, sigma_px=sigma, scale=scale, shift=shift)


def maxima(seen: Response, backend: Backend, denoised: Any = None) -> dict[str, np.ndarray]:
    """Return every local maximum: y_px, x_px, height, significance; host arrays.

    Parameters
    ----------
    seen : Response
        Of the frame's counts: heights and significance are always theirs.
    backend : Backend
    denoised : (y, x) float array, optional
        The frame as a denoiser sees it: maxima are then those of this, each placed within its
        pixel by the counts, which do so better and know no prior.
    """
    xp = backend.xp
    size = 2 * max(1, int(0.8 * seen.sigma_px)) + 1
    field = seen.intensity
    if denoised is not None:
        field = denoised - backend.ndimage.gaussian_filter(
            denoised, WIDE * seen.sigma_px, mode="nearest"
        )
    top = (field == backend.ndimage.maximum_filter(field, size=size)) & (field > 0)
    y, x = xp.nonzero(top)
    dy, dx = _vertex(seen.smooth, seen.intensity, y, x)
    return _to_host(
        backend,
        (y + dy, x + dx, seen.intensity[y, x], seen.background[y, x]),
        seen.area_px2,
    )


def _to_host(backend: Backend, parts: tuple[Any, ...], area_px2: float) -> dict[str, np.ndarray]:
    y, x, height, background = (
        np.asarray(backend.download(p, Peaks.name), dtype=np.float64) for p in parts
    )
    return {
        "y_px": y,
        "x_px": x,
        "height": height,
        "significance": root_ratio(height, background, area_px2),
    }


def _vertex(smooth: Any, field: Any, y: Any, x: Any) -> tuple[Any, Any]:
    """Return the offset of each maximum of a field to the top of the smooth counts beside it.

    Where these bend upwards there is no top, and the field's own is taken.
    """
    height, width = field.shape
    low_y, high_y = (y - 1).clip(0), (y + 1).clip(None, height - 1)
    low_x, high_x = (x - 1).clip(0), (x + 1).clip(None, width - 1)

    def offset(image: Any, before: Any, after: Any, most: float) -> tuple[Any, Any]:
        here, low, high = (image[at].astype("float64") for at in ((y, x), before, after))
        bend = 2 * here - low - high
        step = (high - low) / 2 / (abs(bend) + 1e-12 * abs(here) + 1e-30)
        return step.clip(-most, most), bend > 0

    def along(before: Any, after: Any) -> Any:
        step, top = offset(smooth, before, after, 1.0)
        own, _ = offset(field, before, after, 0.5)
        return own + top * (step - own)

    return along((low_y, x), (high_y, x)), along((y, low_x), (y, high_x))
