"""Screening: which scans of a series do not show what the others show, and why.

Each scan is fitted by the sum of the others, moved to where it stands, as two parts: what is
wider than ``WIDE_PX`` and what is finer. The share of the fine part is the scan's contrast:
low where the scan is blurred, and low in some of its rows only where the specimen jumped while
they were recorded. What is wide is compared with the first scans: a specimen that the beam
changes leaves a residue there, or loses its fine part for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from stempede.preprocess.registration import Parts, Registration, Scans, coarseness

WIDE_PX = 8.0
"""Smoothing that leaves the outline of a specimen but no column, px of binned scans."""

BLANK_PX = 2.0
BLANK = 0.3
"""A scan whose structure is this much weaker than that of others is blank."""

BANDS = 4
"""Bands of rows that are looked at one by one for a jump."""

JUMPED = 0.4
BAND_ERROR = 0.12
"""A band says something if its contrast is known to this."""

SEEN = 0.5
"""Share of the other scans that must have seen a pixel for it to be compared."""

Z = 4.0
"""A scan is dropped only if its deficit is so many standard errors."""

FEWEST = 4
"""Scans that a series needs for one of them to be judged by the others."""


@dataclass(frozen=True)
class Screened:
    """What the screening found.

    Parameters
    ----------
    contrast : (k,) float64 array
        Fine part of a scan over that of the first scans; NaN where not measured.
    change : (k,) float64 array
        Rms change of the wide part since the first scans, over the rms of both parts;
        0 where noise explains it.
    reasons : list of str
        Empty where a scan is used.
    """

    contrast: np.ndarray
    change: np.ndarray
    reasons: list[str]


def blank(scans: Scans) -> np.ndarray:
    """Return (k,) bool: scans without structure, or with much less than others have."""
    few = scans.binned(coarseness(*scans.images.shape[1:]))
    area = 4 * np.pi * BLANK_PX**2
    strengths = []
    for k, image in enumerate(few.images):
        smooth = few.backend.ndimage.gaussian_filter(image, BLANK_PX, mode="nearest")
        inside = few.mask(k) > 0.5
        noise = float(few.noise.variance(smooth, few.backend.xp)[inside].mean()) / area
        power = float(smooth[inside].var()) - noise
        # that of noise alone varies by this much
        error = noise * np.sqrt(2 * area / max(1.0, float(inside.sum())))
        strengths.append(np.sqrt(power) if power > Z * error else 0.0)
    strength = np.array(strengths)
    usual = float(np.median(strength[strength > 0])) if strength.any() else 0.0
    return np.asarray(strength <= BLANK * usual)


def screen(
    scans: Scans, found: Registration, used: np.ndarray, least_contrast: float, most_change: float
) -> Screened:
    """Judge the scans of a registered series.

    Parameters
    ----------
    scans : Scans
    found : Registration
    used : (k,) bool array
        Scans that are registered.
    least_contrast, most_change : float
        Limits of ``Screened.contrast`` and ``Screened.change``.
    """
    which = np.flatnonzero(used).tolist()
    n = len(scans.images)
    contrast, change = np.full(n, np.nan), np.full(n, np.nan)
    reasons = ["" if u else "blank" for u in used]
    if len(which) < FEWEST:
        return Screened(contrast, change, reasons)
    by = coarseness(*scans.images.shape[1:])
    few, shifts = scans.binned(by), np.nan_to_num(found.shifts) / by
    first = which[: max(3, len(which) // 3)]
    fits = [_fits(few, which, shifts, k) for k in which]
    scale = np.median([values[:, 0] for values, k in zip(fits, which) if k in first], axis=0)
    if not scale[0] > 0:
        return Screened(contrast, change, reasons)
    # of a band that holds next to nothing every share is as good
    scale = np.maximum(scale, 0.25 * scale[0])[:, None]
    for k, values in zip(which, fits):
        contrast[k] = values[0, 0] / scale[0, 0]
        change[k] = _change(few, first, shifts, k)
        reasons[k] = _reason(values / scale, change[k], least_contrast, most_change)
    return Screened(contrast, change, _damaged(reasons, which))


def _reason(bands: np.ndarray, change: float, least_contrast: float, most_change: float) -> str:
    """Return why a scan is dropped; ``bands`` has contrast and error, the whole scan first."""
    if change > most_change:
        return "changed"
    (whole, error), parts = bands[0], bands[1:]
    known = parts[parts[:, 1] < BAND_ERROR]
    if len(known) > 1:
        low, high = known[known[:, 0].argmin()], known[known[:, 0].argmax()]
        if (
            low[0] < JUMPED
            and high[0] > least_contrast
            and high[0] - low[0] > Z * np.hypot(low[1], high[1])
        ):
            return "jump"
    if whole < least_contrast - Z * error or (whole < least_contrast and error < 0.02):
        return "blur"
    return ""


def _damaged(reasons: list[str], which: list[int]) -> list[str]:
    """Call what stays blurred or changed to the end of a series damage by the beam."""
    found = list(reasons)
    last = []
    for k in reversed(which):
        if found[k] not in ("blur", "changed"):
            break
        last.append(k)
    if len(last) > 1:
        for k in last:
            found[k] = "beam damage"
    return found


def _fits(scans: Scans, which: list[int], shifts: np.ndarray, k: int) -> np.ndarray:
    """Return contrast and error of a scan and of bands of its rows, (1 + BANDS, 2)."""
    xp = scans.backend.xp
    parts = scans.parts(1.0)
    others = [j for j in which if j != k]
    expected, known = _laid(parts, others, shifts, k)
    known &= scans.mask(k) > 0.5
    level = float(xp.where(known, expected, 0).sum()) / max(1.0, float(known.sum()))
    expected = xp.where(known, expected, xp.float32(level))
    wide = scans.backend.ndimage.gaussian_filter(expected, WIDE_PX, mode="nearest")
    weight = known / scans.noise.variance(expected, xp)
    height = len(expected)
    # bands that go with the specimen, so that each holds the same of it in every scan
    rows = np.linspace(0, height, BANDS + 1) + shifts[k, 0]
    rows = np.clip(np.rint(rows), 0, height).astype(int)
    spans = [slice(0, height), *(slice(a, b) for a, b in pairwise(rows))]
    fine = expected - wide
    return np.array([_amplitude(scans.images[k][s], fine[s], wide[s], weight[s]) for s in spans])


def _amplitude(image: Any, fine: Any, wide: Any, weight: Any) -> tuple[float, float]:
    """Return how much of the fine part an image has, with its error, the wide part fitted too."""
    ff, fw, ww = (
        float((weight * a * b).sum()) for a, b in ((fine, fine), (fine, wide), (wide, wide))
    )
    fy, wy = float((weight * fine * image).sum()), float((weight * wide * image).sum())
    determinant = ff * ww - fw**2
    if not determinant > 1e-9 * ff * ww:
        return 0.0, np.inf
    return (fy * ww - wy * fw) / determinant, float(np.sqrt(ww / determinant))


def _change(scans: Scans, first: list[int], shifts: np.ndarray, k: int) -> float:
    """Return the rms change of a scan's wide part against the first scans, over their rms."""
    xp = scans.backend.xp
    parts = scans.parts(WIDE_PX)
    others = [j for j in first if j != k]
    before, known = _laid(parts, others, shifts, k)
    mask = parts.mask(k)
    known &= mask > 0.5
    now = xp.where(known, parts.image(k) / xp.maximum(mask, 0.5), 0)
    before = xp.where(known, before, 0)
    scale = float((now * before).sum()) / max(float((before**2).sum()), 1e-30)
    seen = max(1.0, float(known.sum()))
    noise = float(xp.where(known, scans.noise.variance(before, xp), 0).sum()) / seen
    noise *= (1 + scale**2 / len(others)) / (4 * np.pi * WIDE_PX**2)
    residue = float(((now - scale * before) ** 2).sum()) / seen - noise
    if residue < Z * noise * np.sqrt(8 * np.pi * WIDE_PX**2 / seen):
        return 0.0
    # a lattice that fills the frame has a fine part only
    sharp, there = _laid(scans.parts(1.0), others, shifts, k)
    inside = sharp[there & known]
    grain = float(scans.noise.variance(inside, xp).mean()) / (4 * np.pi * len(others))
    power = scale**2 * (float(inside.var()) - grain)
    return float(np.sqrt(residue / power)) if power > 0 else np.nan


def _laid(parts: Parts, others: list[int], shifts: np.ndarray, k: int) -> tuple[Any, Any]:
    """Return the mean of other scans where one scan stands, and where most of them were seen."""
    canvas = parts.canvas(others, shifts)
    where = canvas.window((int(np.rint(shifts[k, 0])), int(np.rint(shifts[k, 1]))))
    return canvas.expected()[where], canvas.exposure[where] > SEEN * len(others)
