"""A scanned image of Gaussian columns: probe, line jitter, drift, background, counts, detector.

Pixels sample the Gaussians at the points where the probe stands, as a scanned image does;
``Scan.integrate`` takes their mean over the pixel instead (a camera).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from stempede.errors import InputError

DETECTORS = ("counts", "analog")
_REACH_SIGMA = 5.0
# three-point Gauss-Legendre over a pixel
_NODES = np.sqrt(0.6) * np.array([-0.5, 0.0, 0.5])
_WEIGHTS = np.array([5.0, 8.0, 5.0]) / 18.0


@dataclass(frozen=True)
class Scan:
    """How a frame is recorded.

    Parameters
    ----------
    height_px, width_px : int
    pixel_size_nm : float
    dose_e_per_A2 : float
    sigma_nm : (float, float, float)
        Width of Pb+X, Cs and X columns, probe included.
    electrons : (float, float, float)
        Electrons per column at 200 e/Å², of Pb+X, Cs and X; they follow the dose.
    background : float
        Electrons per Å² on vacuum and film for one e/Å² of dose.
    astigmatism : float
        Relative difference of the widths along and across ``astigmatism_deg``.
    tail, tail_ratio : float
        Share of a column's electrons in a second Gaussian that many times wider.
    carbon : float
        Texture of the film relative to its mean (standard deviation).
    patches : int
        Soft patches of thicker carbon, each about twice the background.
    jitter_x_nm, jitter_y_nm : float
        Displacement of lines, rms; successive lines correlate by ``jitter_correlation``.
    drift_nm : (dy, dx)
        Of the specimen during the frame, evenly.
    detector : {"counts", "analog"}
        Counts: uint16 electrons. Analog: float32, ``gain`` per electron over ``offset`` with
        ``read_noise`` electrons rms.
    integrate : bool
        Pixels hold the mean of the Gaussian over themselves instead of its value at the centre.
    """

    height_px: int = 512
    width_px: int = 512
    pixel_size_nm: float = 0.015
    dose_e_per_A2: float = 2000.0  # noqa: N815
    sigma_nm: tuple[float, float, float] = (0.046, 0.0479, 0.0447)
    electrons: tuple[float, float, float] = (27.7, 9.4, 7.2)
    background: float = 1.1e-3
    astigmatism: float = 0.0
    astigmatism_deg: float = 0.0
    tail: float = 0.0
    tail_ratio: float = 3.0
    carbon: float = 0.0
    patches: int = 0
    jitter_x_nm: float = 0.0
    jitter_y_nm: float = 0.0
    jitter_correlation: float = 0.28
    drift_nm: tuple[float, float] = (0.0, 0.0)
    detector: str = "counts"
    gain: float = 37.0
    offset: float = 120.0
    read_noise: float = 0.25
    integrate: bool = False

    def __post_init__(self) -> None:
        if self.detector not in DETECTORS:
            raise InputError(
                f"detector is one of {', '.join(DETECTORS)}; found '{self.detector}'; correct it"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, px."""
        return self.height_px, self.width_px

    def intensities(self) -> np.ndarray:
        """Return (3,) electrons per column of the three species at this dose."""
        return np.asarray(self.electrons) * (self.dose_e_per_A2 / 200.0)

    def sigmas_px(self) -> np.ndarray:
        """Return (3,) widths of the three species."""
        return np.asarray(self.sigma_nm) / self.pixel_size_nm

    def background_per_px(self) -> float:
        """Return the expected electrons of an empty pixel."""
        return self.background * self.dose_e_per_A2 * (10.0 * self.pixel_size_nm) ** 2

    def recorded(self, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where points of the specimen appear: with the drift, without the jitter.

        Row r looks at ``r + drift * (r / h - 1/2)``: coordinates agree in the middle row.
        """
        dy, dx = np.asarray(self.drift_nm) / self.pixel_size_nm
        row = (y + 0.5 * dy) / (1.0 + dy / self.height_px)
        return row, x - dx * (row / self.height_px - 0.5)

    def sampling(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return (h,) offsets of each row's points along y and x: drift and jitter, px."""
        dy, dx = np.asarray(self.drift_nm) / self.pixel_size_nm
        share = np.arange(self.height_px) / self.height_px - 0.5
        jitter = _correlated(self.height_px, self.jitter_correlation, rng)
        rms = np.array([[self.jitter_y_nm], [self.jitter_x_nm]]) / self.pixel_size_nm
        offset_y, offset_x = rms * jitter
        return dy * share + offset_y, dx * share + offset_x


def _correlated(n: int, rho: float, rng: np.random.Generator) -> np.ndarray:
    """(2, n) unit noise whose neighbours correlate by rho (first-order autoregressive)."""
    noise = rng.standard_normal((2, n))
    noise[:, 1:] *= np.sqrt(1.0 - rho * rho)
    for k in range(1, n):
        noise[:, k] += rho * noise[:, k - 1]
    return noise


@dataclass(frozen=True)
class Gaussians:
    """Columns to be drawn.

    Parameters
    ----------
    y, x : (n,) float64 array
        On the specimen, px.
    intensity : (n,) float64 array
        Electrons: the integral of the Gaussian.
    sigma : (n,) float64 array
        Width, px; with astigmatism the geometric mean of both.
    """

    y: np.ndarray
    x: np.ndarray
    intensity: np.ndarray
    sigma: np.ndarray


def expected(scan: Scan, columns: Gaussians, offsets: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return the (h, w) float64 expected electrons of the columns alone.

    Parameters
    ----------
    scan : Scan
    columns : Gaussians
    offsets : (offset_y, offset_x), each (h,) float64 array
        Where each row samples, against its pixel centres.
    """
    image = np.zeros(scan.shape)
    if not len(columns.y):
        return image
    if not scan.tail:
        _add(image, scan, columns, offsets)
        return image
    main = Gaussians(columns.y, columns.x, (1 - scan.tail) * columns.intensity, columns.sigma)
    wide = Gaussians(
        columns.y, columns.x, scan.tail * columns.intensity, scan.tail_ratio * columns.sigma
    )
    _add(image, scan, main, offsets)
    _add(image, scan, wide, offsets)
    return image


def _add(
    image: np.ndarray, scan: Scan, columns: Gaussians, offsets: tuple[np.ndarray, np.ndarray]
) -> None:
    h, w = image.shape
    slack = max(float(np.abs(o).max(initial=0.0)) for o in offsets)
    reach = int(np.ceil(_REACH_SIGMA * columns.sigma.max() * (1 + abs(scan.astigmatism)) + slack))
    window = np.arange(-reach, reach + 1)
    row = np.rint(columns.y).astype(int)[:, None] + window  # (n, m)
    column = np.rint(columns.x).astype(int)[:, None] + window
    inside = ((row >= 0) & (row < h))[:, :, None] & ((column >= 0) & (column < w))[:, None]
    at = np.clip(row, 0, h - 1)
    dy = at + offsets[0][at] - columns.y[:, None]
    dx = (column - columns.x[:, None])[:, None] + offsets[1][at][:, :, None]
    value = _profile(scan, dy[:, :, None], dx, columns.sigma[:, None, None])
    value *= (columns.intensity / (2 * np.pi * columns.sigma**2))[:, None, None]
    index = at[:, :, None] * w + np.clip(column, 0, w - 1)[:, None]
    image += np.bincount(index[inside], value[inside], h * w).reshape(h, w)


def _profile(scan: Scan, dy: np.ndarray, dx: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Unit-height Gaussians, or their mean over pixels."""
    ratio = np.sqrt((1 + 0.5 * scan.astigmatism) / (1 - 0.5 * scan.astigmatism))
    turn = np.deg2rad(scan.astigmatism_deg)
    along = np.array([np.sin(turn), np.cos(turn)])

    def one(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        if not scan.astigmatism:
            return np.exp(-0.5 * ((y / sigma) ** 2 + (x / sigma) ** 2))
        u = (along[0] * y + along[1] * x) / (sigma * ratio)
        v = (along[1] * y - along[0] * x) / (sigma / ratio)
        return np.exp(-0.5 * (u * u + v * v))

    if not scan.integrate:
        return one(dy, dx)
    pairs = [(p, q) for p in range(3) for q in range(3)]
    parts = [_WEIGHTS[p] * _WEIGHTS[q] * one(dy + _NODES[p], dx + _NODES[q]) for p, q in pairs]
    return np.sum(parts, axis=0)


def support(scan: Scan, rng: np.random.Generator) -> np.ndarray:
    """Return the (h, w) float64 expected electrons of the film: texture and thicker patches."""
    level = scan.background_per_px()
    if not scan.carbon and not scan.patches:
        return np.full(scan.shape, level)
    # atoms of amorphous carbon under the probe
    film = ndimage.gaussian_filter(rng.standard_normal(scan.shape), scan.sigmas_px()[0])
    relative = 1.0 + scan.carbon * film / film.std()
    y, x = np.arange(scan.height_px)[:, None], np.arange(scan.width_px)[None]
    for _ in range(scan.patches):
        cy, cx = rng.random(2) * scan.shape
        radius = rng.uniform(0.05, 0.15) * max(scan.shape)
        r2 = ((y - cy) ** 2 + (x - cx) ** 2) / radius**2
        relative = relative + 2.0 * np.exp(-(r2**2))
    return level * np.maximum(relative, 0.0)


def record(scan: Scan, electrons: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the counts of an expected image and pass them through the detector.

    Parameters
    ----------
    scan : Scan
    electrons : (h, w) float64 array
        Expected electrons.
    rng : numpy.random.Generator

    Returns
    -------
    (h, w) uint16 or float32 array
    """
    drawn = rng.poisson(electrons)
    if scan.detector == "counts":
        return np.minimum(drawn, 65_535).astype(np.uint16)
    noise = rng.standard_normal(scan.shape, dtype=np.float32)
    read = drawn.astype(np.float32) + np.float32(scan.read_noise) * noise
    return np.float32(scan.gain) * read + np.float32(scan.offset)
