"""Spots of a lattice in the power spectrum: found, placed below the bin, and given orders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

SIDE_MAX_PX = 2048
SPOTS_MAX = 24
CYCLES_MIN = 6
"""Fewest periods across the frame: below, the spectrum belongs to shapes and shading."""
NYQUIST_SHARE = 0.96
SIGNIFICANCE = 25.0
"""Power over the median at the same frequency: noise passes this once in 1e7 bins."""
POWER_SHARE = 1e-3
"""Least power of a spot against the strongest."""
SLACK_BINS = 0.75
"""Distance from a lattice point at which a spot still belongs to it."""
EXPLAINED = 0.75
"""Share of the spots' weight that a lattice must explain."""
ORDER_MAX = 8
U_BINS_NOISE = 0.8
"""Uncertainty of a spot under a Hann window, in bins, at a power of one over the noise's median."""
U_BINS_FLOOR = 0.005


@dataclass(frozen=True)
class Lattice:
    """A reciprocal lattice fitted to the spots of a spectrum.

    Parameters
    ----------
    basis : (1 or 2, 2) float64 array
        Shortest vectors (g_y, g_x) in cycles per pixel, the shortest first; one row where all
        spots lie on one line.
    spots : (n, 2) float64 array
        Positions of the spots that belong to it, one of each opposite pair.
    orders : (n, 2) int64 array
        Their (h, k).
    u_bins : (n,) float64 array
        Standard uncertainty of their positions from the noise around them, in bins.
    bin_size : (float, float)
        Width of a bin of the spectrum along y and x, cycles per pixel.
    """

    basis: np.ndarray
    spots: np.ndarray
    orders: np.ndarray
    u_bins: np.ndarray
    bin_size: tuple[float, float]


def find_lattice(image: np.ndarray) -> Lattice | None:
    """Return the lattice that a crystalline image shows, None where there is none.

    Parameters
    ----------
    image : (y, x) float32 array
        Only the central 2048 px are used of larger ones.
    """
    cut = [
        slice(max(0, (n - SIDE_MAX_PX) // 2), max(0, (n - SIDE_MAX_PX) // 2) + SIDE_MAX_PX)
        for n in image.shape
    ]
    view = np.nan_to_num(image[cut[0], cut[1]])
    windowed = _windowed(view)
    spots, amplitude, significance = _spots(windowed)
    if len(spots) == 0:
        return None
    spots = np.array([_refined(windowed, s) for s in spots])
    bin_size = (1 / view.shape[0], 1 / view.shape[1])
    basis = _basis(spots, amplitude, np.array(bin_size))
    if basis is None:
        return None
    u_bins = np.hypot(U_BINS_FLOOR, U_BINS_NOISE / np.sqrt(significance))
    return _fitted(basis, spots, u_bins, bin_size)


def _windowed(view: np.ndarray) -> np.ndarray:
    """Return the image without its mean, under a Hann window that hides its rim."""
    window = np.hanning(view.shape[0])[:, None] * np.hanning(view.shape[1])
    mean = (view * window).sum() / window.sum()
    return ((view - mean) * window).astype(np.float32)


def _spots(windowed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the strongest spots (n, 2) in cycles per pixel, amplitude, power over the noise."""
    power = np.abs(np.fft.rfft2(windowed)) ** 2
    height, width = windowed.shape
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    radius = np.hypot(fy, fx)
    ring = np.minimum(radius * min(height, width), 4095).astype(np.int64)
    floor = ndimage.median(power, ring, np.arange(ring.max() + 1))
    significance = power / np.maximum(ndimage.median_filter(floor, 9), 1e-30)[ring]
    peak = significance == ndimage.maximum_filter(significance, 7, mode="wrap")
    peak &= (significance > SIGNIFICANCE) & (radius < 0.5 * NYQUIST_SHARE)
    peak &= np.hypot(fy * height, fx * width) >= CYCLES_MIN
    # the column x = 0 holds both of each opposite pair
    peak[:, 0] &= fy[:, 0] > 0
    # uneven scan lines smear strong spots along y: what is left of them is weak
    peak &= power >= POWER_SHARE * power[peak].max(initial=0)
    y, x = np.nonzero(peak)
    order = np.argsort(-power[y, x])[:SPOTS_MAX]
    y, x = y[order], x[order]
    return np.stack([fy[y, 0], fx[x]], axis=1), np.sqrt(power[y, x]), significance[y, x]


def _refined(windowed: np.ndarray, spot: np.ndarray) -> np.ndarray:
    """Return a spot's position to about a thousandth of a bin, from the transform itself."""
    height, width = windowed.shape
    y, x = np.arange(height), np.arange(width)
    for step in (0.5, 0.1):
        offsets = step * np.arange(-1, 2)
        rows = np.exp(-2j * np.pi * np.outer(spot[0] + offsets / height, y)).astype(np.complex64)
        columns = np.exp(-2j * np.pi * np.outer(x, spot[1] + offsets / width)).astype(np.complex64)
        log = np.log(np.abs(rows @ windowed @ columns) + 1e-30)
        shift = [
            _vertex(log[0, 1], log[1, 1], log[2, 1]) * step / height,
            _vertex(log[1, 0], log[1, 1], log[1, 2]) * step / width,
        ]
        spot = spot + np.array(shift)
    return spot


def _vertex(before: float, here: float, after: float) -> float:
    """Return where a parabola through three points has its top, at most one step away."""
    bend = before - 2 * here + after
    return 0.0 if bend >= 0 else float(np.clip(0.5 * (before - after) / bend, -1, 1))


def _basis(spots: np.ndarray, weights: np.ndarray, bin_size: np.ndarray) -> np.ndarray | None:
    """Return the widest lattice that explains most of the spots, its vectors reduced."""
    total = weights.sum()
    best: tuple[float, np.ndarray] | None = None
    for i in range(len(spots)):
        for j in range(i):
            pair = spots[[i, j]]
            area = abs(np.linalg.det(pair))
            if area < 0.3 * np.prod(np.hypot(*pair.T)) or (best is not None and area <= best[0]):
                continue
            orders = np.rint(spots @ np.linalg.inv(pair))
            off = np.hypot(*((spots - orders @ pair) / bin_size).T)
            fits = off <= SLACK_BINS * np.maximum(1, np.abs(orders).max(axis=1))
            fits &= np.abs(orders).max(axis=1) <= ORDER_MAX
            if weights[fits].sum() >= EXPLAINED * total:
                best = (area, pair)
    if best is not None:
        return _reduced(best[1])
    first = spots[np.argmin(np.hypot(*spots.T))]
    order = np.rint(spots @ first / (first @ first))
    on_line = np.hypot(*((spots - order[:, None] * first) / bin_size).T) <= SLACK_BINS
    return first[None] if weights[on_line].sum() >= EXPLAINED * total else None


def _reduced(pair: np.ndarray) -> np.ndarray:
    """Return the two shortest vectors of a lattice, after Gauss."""
    a, b = pair
    for _ in range(32):
        if a @ a > b @ b:
            a, b = b, a
        times = np.rint((a @ b) / (a @ a))
        if times == 0:
            break
        b = b - times * a
    return np.stack([a, b])


def _fitted(
    basis: np.ndarray, spots: np.ndarray, u_bins: np.ndarray, bin_size: tuple[float, float]
) -> Lattice:
    """Give orders to the spots and fit the basis to all of them, outliers left out."""
    scale = np.array(bin_size)
    weights = 1 / u_bins[:, None]
    for _ in range(4):
        orders = np.rint(spots @ np.linalg.pinv(basis))
        off = np.hypot(*((spots - orders @ basis) / scale).T)
        mine = (off <= SLACK_BINS) & (np.abs(orders).sum(axis=1) > 0)
        basis = np.linalg.lstsq((orders * weights)[mine], (spots * weights)[mine], rcond=None)[0]
    full = np.zeros((len(spots), 2), dtype=np.int64)
    full[:, : orders.shape[1]] = orders
    return Lattice(basis, spots[mine], full[mine], u_bins[mine], bin_size)
