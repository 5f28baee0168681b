"""Registration: where the specimen stands in each scan of a series, to a fraction of a pixel.

First a running sum: each scan is laid on the sum of those before it. Then all scans together:
each is held against the sum of all others, its good shifts are candidates, and the path through
them is chosen at once (``driftpath``). Last the peaks, from a parabola through the likelihood.
The first two work on binned scans. A template is smoothed as much as makes it foretell the
next scan best, from the outline of the specimen alone to its finest columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from stempede.backend import Backend
from stempede.preprocess.driftpath import best_path, candidates, parabola, penalty
from stempede.preprocess.likelihood import (
    Canvas,
    Noise,
    Scores,
    Surfaces,
    differences,
    gain_at,
    scores,
    smoothed,
)

COARSE_SIDE_PX = 500
"""Scans are binned by two until their shorter side is less than this."""

SMOOTHINGS_PX = (0.7, 1.0, 1.5, 2.5, 4.0, 8.0)
JOINT_PASSES = 6
PEAK_PASSES = 3
FINE = 2
"""Largest binning of the last step; the columns of a scan lie many pixels apart."""

GROWN = tuple(4**k for k in range(8))
"""Lengths of a running sum at which its smoothing is chosen anew."""

ALONE = 0.1
"""Weight of a comparison that rests on one scan: most of it may be noise."""

ROOM = 0.25
"""Share of a scan's side that the specimen may move."""


@dataclass(frozen=True)
class Scans:
    """Scans of one series, zero where not valid; ``masks`` has one entry where all are alike."""

    images: Any
    masks: Any
    noise: Noise
    backend: Backend
    coarse: dict[int, Scans] = field(default_factory=dict, compare=False, repr=False)
    made: dict[float, Parts] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, images: Any, valid: Any, backend: Backend) -> Scans:
        """Take (k, y, x) images and where they are valid."""
        xp = backend.xp
        alike = bool((valid == valid[:1]).all())
        masks = (valid[:1] if alike else valid).astype(xp.float32)
        noise, dark = Noise.of(images, masks, backend)
        # sums of a large offset would cost the last digits
        images = images - np.float32(dark)
        images *= masks
        return cls(images, masks, noise, backend)

    def mask(self, k: int) -> Any:
        """Valid pixels of a scan, as weights."""
        return self.masks[k if len(self.masks) > 1 else 0]

    def binned(self, by: int) -> Scans:
        """Return sums over ``by * by`` pixels; what is left over at the far sides is cut off."""
        if by == 1:
            return self
        if by not in self.coarse:
            masks = _sums(self.masks, by) / by**2
            noise = self.noise.binned(by)
            self.coarse[by] = Scans(_sums(self.images, by), masks, noise, self.backend)
        return self.coarse[by]

    def parts(self, sigma_px: float) -> Parts:
        """Return the scans smoothed, as parts of a template."""
        return self.made.setdefault(sigma_px, Parts(self, sigma_px))


class Parts:
    """Scans smoothed when they are asked for; kept where they are small.

    Parameters
    ----------
    scans : Scans
    sigma_px : float
    """

    def __init__(self, scans: Scans, sigma_px: float) -> None:
        self.sigma_px, self.noise = sigma_px, scans.noise
        self._images, self._masks = scans.images, scans.masks
        self._backend = scans.backend
        self._kept: dict[tuple[str, int], Any] = {}
        self._keep = min(scans.images.shape[1:]) < COARSE_SIDE_PX

    def image(self, k: int) -> Any:
        """Return a scan, smoothed."""
        return self._made(("image", k), self._images[k])

    def mask(self, k: int) -> Any:
        """Return the share of valid pixels around each pixel of a scan."""
        at = k if len(self._masks) > 1 else 0
        return self._made(("mask", at), self._masks[at])

    def canvas(self, which: Sequence[int], shifts: np.ndarray) -> Canvas:
        """Return the sum of some scans, each moved back by its shift."""
        h, w = self._images.shape[1:]
        found = Canvas((h, w), (int(h * ROOM), int(w * ROOM)), self._backend)
        for k in which:
            found.add(self.image(k), self.mask(k), _whole(shifts[k]))
        return found

    def scores(self, canvas: Canvas) -> Scores:
        """Return what a sum of scans says of a scan."""
        return scores(canvas.expected(), canvas.exposure, self.noise, canvas.backend.xp)

    def without(self, canvas: Canvas, k: int, shift: np.ndarray) -> Scores:
        """Return what a sum says of one of its scans, that scan left out."""
        at = _whole(shift)
        image, mask = self.image(k), self.mask(k)
        canvas.add(image, mask, at, -1.0)
        template = self.scores(canvas)
        canvas.add(image, mask, at)
        return template

    def _made(self, key: tuple[str, int], array: Any) -> Any:
        if key in self._kept:
            return self._kept[key]
        made = smoothed(array, self.sigma_px, self._backend)
        if self._keep or key[0] == "mask":
            self._kept[key] = made
        return made


class Halves:
    """Two sums of scans, every other one in each; both together are the template.

    Parameters
    ----------
    parts : Parts
    which : sequence of int
        Scans that are in them from the start.
    shifts : (k, 2) array
    """

    def __init__(self, parts: Parts, which: Sequence[int], shifts: np.ndarray) -> None:
        self.parts = parts
        self.canvases = tuple(
            parts.canvas([k for k in which if k % 2 == n], shifts) for n in (0, 1)
        )

    def add(self, k: int, shift: np.ndarray, sign: float = 1.0) -> None:
        """Add (or take away) a scan."""
        image, mask = self.parts.image(k), self.parts.mask(k)
        self.canvases[k % 2].add(image, mask, _whole(shift), sign)

    @property
    def several(self) -> bool:
        """Whether both have a scan."""
        return all(float(c.exposure.max()) > 0.5 for c in self.canvases)

    def template(self) -> Scores:
        """Return what all scans say."""
        return self.parts.scores(self.canvases[0].plus(self.canvases[1]))

    def halves(self) -> tuple[Scores, Scores]:
        """Return what each half says; one that has no scan speaks with the other's words."""
        full = [c for c in self.canvases if float(c.exposure.max()) > 0.5]
        made = [self.parts.scores(c) for c in full]
        return made[0], made[-1]


@dataclass(frozen=True)
class Registration:
    """Where the specimen stands in each scan, minus where in the first used one.

    Parameters
    ----------
    shifts : (k, 2) float64 array
        px along y and x; NaN where a scan was not used.
    errors : (k, 2) float64 array
        Standard error of the scan's shift against the sum of the others, px.
    """

    shifts: np.ndarray
    errors: np.ndarray


def register(scans: Scans, used: np.ndarray, drift_px: float) -> Registration:
    """Register the scans of a series.

    Parameters
    ----------
    scans : Scans
    used : (k,) bool array
        Scans that hold something to register.
    drift_px : float
        Typical drift between consecutive scans.
    """
    which = np.flatnonzero(used).tolist()
    shifts = np.zeros((len(scans.images), 2))
    if len(which) > 1:
        by = coarseness(*scans.images.shape[1:])
        binned = scans.binned(by)
        shifts, sigma = _running(binned, which, drift_px / by)
        shifts = by * _joint(binned, which, shifts, sigma, drift_px / by)
    return _finished(scans, used, shifts, PEAK_PASSES)


def coarseness(height: int, width: int) -> int:
    """Return by how much scans are binned until the last step."""
    by = 1
    while min(height, width) // by >= COARSE_SIDE_PX:
        by *= 2
    return by


def refined(scans: Scans, used: np.ndarray, start: Registration) -> Registration:
    """Register again, without some scans, from shifts that are known to a pixel."""
    shifts = np.where(np.isfinite(start.shifts), start.shifts, 0.0)
    return _finished(scans, used, shifts, 1)


def _finished(scans: Scans, used: np.ndarray, shifts: np.ndarray, passes: int) -> Registration:
    """Take shifts to a fraction of a pixel; large scans, in the end, less binned."""
    which = np.flatnonzero(used).tolist()
    errors = np.full(shifts.shape, np.nan)
    if len(which) > 1:
        by = coarseness(*scans.images.shape[1:])
        sigma = by * _finest(scans.binned(by), which, shifts / by)
        for step in [by] * passes + [FINE] * (by > FINE):
            few = scans.binned(step)
            shifts, errors = (step * a for a in _peaks(few, which, shifts / step, sigma / step))
    first = int(np.argmax(used))
    seen = used[:, None]
    return Registration(
        np.where(seen, shifts - shifts[first], np.nan), np.where(seen, errors, np.nan)
    )


def _running(scans: Scans, which: list[int], drift_px: float) -> tuple[np.ndarray, float]:
    """Lay each scan on the sum of those before it; the smoothing is chosen anew as it grows."""
    shifts = np.zeros((len(scans.images), 2))
    sums = Halves(scans.parts(SMOOTHINGS_PX[0]), which[:1], shifts)
    surfaces = Surfaces(sums.canvases[0])
    for n, (before, k) in enumerate(pairwise(which), start=1):
        drift = drift_px * float(np.sqrt(k - before))
        if n in GROWN:
            cost, tried = _cost(sums.canvases[0], shifts[before], drift), []
            for parts in map(scans.parts, SMOOTHINGS_PX):
                template = Halves(parts, which[:n], shifts).template()
                best = float((surfaces(scans.images[k], scans.mask(k), template) - cost).max())
                tried.append((best, parts.sigma_px))
            sums = Halves(scans.parts(max(tried)[1]), which[:n], shifts)
        found, gains = _weighed(scans, k, sums, surfaces, shifts[before])
        cost = penalty(found - shifts[before], drift)
        shifts[k] = found[int(np.argmax(gains - cost))]
        sums.add(k, shifts[k])
    return shifts, sums.parts.sigma_px


def _joint(
    scans: Scans, which: list[int], shifts: np.ndarray, sigma: float, drift_px: float
) -> np.ndarray:
    """Choose the path through the candidates of all scans, until it stays."""
    steps = [0, *np.diff(which).tolist()]
    for _ in range(JOINT_PASSES):
        sums = Halves(scans.parts(sigma), which, shifts)
        surfaces = Surfaces(sums.canvases[0])
        found = []
        for k in which:
            sums.add(k, shifts[k], -1.0)
            found.append(_weighed(scans, k, sums, surfaces, shifts[k]))
            sums.add(k, shifts[k])
        path = best_path([s for s, _ in found], [g for _, g in found], drift_px, steps)
        room = np.array(sums.canvases[0].room)
        path = np.clip(path - path[0], -room, room)
        moved = np.abs(path - shifts[which]).max()
        shifts[which] = path
        if moved <= 1:
            break
    return shifts


def _weighed(
    scans: Scans, k: int, sums: Halves, surfaces: Surfaces, near: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return candidates for the shift of a scan, and how much better each fits than the first."""
    backend, canvas = scans.backend, sums.canvases[0]
    template = sums.template()
    surface = surfaces(scans.images[k], scans.mask(k), template)
    apart = max(2, round(sums.parts.sigma_px))
    found, rises = candidates(surface, canvas.room, near, apart, backend)
    windows = [canvas.window(_whole(s)) for s in found]
    image, mask = scans.images[k], scans.mask(k)
    gains = differences(image, mask, template, sums.halves(), windows, rises=rises, backend=backend)
    # one scan alone cannot tell its noise from the specimen
    return found, gains if sums.several else ALONE * gains


def _cost(canvas: Canvas, before: np.ndarray, drift_px: float) -> Any:
    """Return the price of every shift a canvas has room for, given that of the scan before."""
    xp = canvas.backend.xp
    ry, rx = canvas.room
    y = xp.arange(-ry, ry + 1, dtype=np.float32) - np.float32(before[0])
    x = xp.arange(-rx, rx + 1, dtype=np.float32) - np.float32(before[1])
    return penalty(xp.stack(xp.meshgrid(y, x, indexing="ij"), axis=-1), drift_px, xp)


def _peaks(
    scans: Scans, which: list[int], shifts: np.ndarray, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return shifts to a fraction of a pixel, and their errors, each against all other scans."""
    found, errors = shifts.copy(), np.full(shifts.shape, np.nan)
    parts = scans.parts(sigma)
    canvas = parts.canvas(which, shifts)
    left = shifts - np.rint(shifts)
    for k in which:
        template = parts.without(canvas, k, shifts[k])
        # the template stands off by what whole pixels left of the others' shifts
        off = np.mean([left[j] for j in which if j != k], axis=0)
        peak, errors[k] = _peak(scans, k, template, canvas, shifts[k] - off)
        found[k] = peak + off
    return found - found[which[0]], errors


def _peak(
    scans: Scans, k: int, template: Scores, canvas: Canvas, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the top of a parabola through nine whole shifts around the best, and its error."""
    at = np.clip(np.rint(start), -np.array(canvas.room) + 2, np.array(canvas.room) - 2)
    gains: dict[tuple[int, int], float] = {}
    for _ in range(4):
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                shift = (int(at[0]) + dy, int(at[1]) + dx)
                if shift not in gains:
                    where = canvas.window(shift)
                    gains[shift] = gain_at(scans.images[k], scans.mask(k), template, where)
        best = max(gains, key=lambda s: gains[s])
        if np.abs(np.array(best) - at).max() == 0 or np.abs(best).max() >= min(canvas.room) - 1:
            break
        at = np.array(best, dtype=float)
    y, x = int(at[0]), int(at[1])
    nine = np.array([[gains[y + dy, x + dx] for dx in (-1, 0, 1)] for dy in (-1, 0, 1)])
    step, curvature = parabola(nine)
    spread = _spread(scans, k, template, canvas.window((y, x)))
    if step is None:
        return at, np.full(2, np.nan)
    inverse = np.linalg.inv(curvature)
    return at + step, np.sqrt(np.diag(inverse @ spread @ inverse))


def _spread(scans: Scans, k: int, template: Scores, window: tuple[slice, slice]) -> np.ndarray:
    """Return the covariance of the likelihood's slope that the noise of a scan makes."""
    xp = scans.backend.xp
    phi = template.phi[window]
    variance = scans.noise.variance(template.expected[window], xp) * scans.mask(k)
    gy, gx = xp.gradient(phi)
    yy, xx, yx = (float((variance * a * b).sum()) for a, b in ((gy, gy), (gx, gx), (gy, gx)))
    return np.array([[yy, yx], [yx, xx]])


def _finest(scans: Scans, which: list[int], shifts: np.ndarray) -> float:
    """Return the smoothing whose template of all other scans foretells a scan best."""
    some = which[:: max(1, len(which) // 3)][:3]
    totals = []
    for parts in map(scans.parts, SMOOTHINGS_PX):
        canvas = parts.canvas(which, shifts)
        total = 0.0
        for k in some:
            template = parts.without(canvas, k, shifts[k])
            where = canvas.window(_whole(shifts[k]))
            total += gain_at(scans.images[k], scans.mask(k), template, where)
        totals.append((total, parts.sigma_px))
    return max(totals)[1]


def _whole(shift: np.ndarray) -> tuple[int, int]:
    return int(np.rint(shift[0])), int(np.rint(shift[1]))


def _sums(images: Any, by: int) -> Any:
    k, h, w = images.shape
    cut = images[:, : h // by * by, : w // by * by]
    return cut.reshape(k, h // by, by, w // by, by).sum((2, 4))
