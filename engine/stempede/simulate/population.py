"""What a simulated session is made of: sizes, shapes, support, exposure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stempede.errors import InputError
from stempede.simulate.noise import ELECTRONS_PER_PX

SHAPES = ("disc", "ellipse", "cube", "rod", "triangle", "star", "urchin")
"""Names of the shapes that a population may mix."""

_ABOVE_0 = ("height_px", "width_px", "pixel_size_nm", "mean_size_nm", "speckle_px")
_SHARES = ("touching", "icc", "coverage", "contrast", "thickness_contrast")
_NOT_NEGATIVE = (
    "count",
    "relative_sd",
    "overlap",
    "gap_px",
    "contrast_spread",
    "edge_darkening",
    "fresnel",
    "blur_px",
    "gradient",
    "texture",
    "contamination",
    "support",
    "debris",
    "grain",
    "speckle",
    "scale_bar_nm",
)


@dataclass(frozen=True)
class Drawn:
    """The bodies of one frame, before they have a place.

    Parameters
    ----------
    shapes : (n,) array of str
        Names.
    parameters : (n, 3) float64 array
        ``p d l_ratio``.
    sizes_nm : (n,) float64 array
        Equivalent diameters.
    group : (n,) int64 array
        Number of the group each was drawn from, -1 where there are none.
    """

    shapes: np.ndarray
    parameters: np.ndarray
    sizes_nm: np.ndarray
    group: np.ndarray


@dataclass(frozen=True)
class Population:
    """Parameters of simulated micrographs; every field has a value that makes a plain session.

    Parameters
    ----------
    height_px, width_px : int
        Shape of a frame.
    pixel_size_nm : float
        Edge of a pixel.
    polarity : str
        ``dark`` (bright field) or ``bright`` (HAADF).
    coverage : float
        Share of the frame that particles cover, where ``count`` is 0.
    count : float
        Expected number of particles with their centre in a frame; 0: as many as ``coverage`` wants.
    mean_size_nm, relative_sd : float
        Mean of the equivalent diameter and its standard deviation over that mean.
    size_law : str
        ``lognormal`` or ``normal`` (cut at a fifth of the mean).
    shapes : str
        Mixture as ``name:share,name:share``; names are those of ``SHAPES``.
    touching : float
        Share of the particles that belong to agglomerates.
    agglomerate_max : int
        Agglomerates hold 2 to this many particles, uniformly.
    overlap : float
        How far touching particles are pushed into each other, in equivalent diameters of the
        smallest of the agglomerate.
    gap_px : float
        Least distance between the circumscribed circles of particles that do not touch.
    icc : float
        Share of the size variance that lies between frames.
    contrast : float
        Absorption (dark) or brightness (bright) of a particle of middling thickness, 0 to 1.
    contrast_spread : float
        Relative standard deviation of the contrast over particles.
    thickness_contrast : float
        0: flat plates; 1: the full projected thickness of a sphere.
    edge_darkening : float
        Extra contrast of the rim, as a share of the contrast.
    fresnel : float
        Strength of the bright fringe outside the rim, as a share of the contrast.
    blur_px : float
        Standard deviation of the point spread.
    noise : str
        ``low``, ``medium`` or ``high``: electrons per pixel of the unobstructed beam.
    gradient, texture : float
        Illumination change over the frame and carbon-film roughness, relative to the support.
    contamination : int
        Broad soft patches per frame.
    support : float
        Thickness of a lumpy support that covers part of the frame, as a share of a particle's.
    debris : int
        Specks per frame, far smaller than particles, that are not among the truth.
    grain : float
        Relative standard deviation of the contrast inside particles, from place to place.
    speckle, speckle_px : float
        Phase contrast of a film out of focus, relative to the support, and its period.
    scale_bar_nm : float
        Length of a burned-in scale bar; 0: none.
    """

    height_px: int = 1024
    width_px: int = 1024
    pixel_size_nm: float = 0.25
    polarity: str = "dark"
    coverage: float = 0.16
    count: float = 0.0
    mean_size_nm: float = 12.0
    relative_sd: float = 0.15
    size_law: str = "lognormal"
    shapes: str = "cube:0.6,disc:0.4"
    touching: float = 1 / 3
    agglomerate_max: int = 6
    overlap: float = 0.02
    gap_px: float = 4.0
    icc: float = 0.02
    contrast: float = 0.4
    contrast_spread: float = 0.15
    thickness_contrast: float = 0.2
    edge_darkening: float = 0.1
    fresnel: float = 0.0
    blur_px: float = 1.0
    noise: str = "medium"
    gradient: float = 0.15
    texture: float = 0.015
    contamination: int = 2
    support: float = 0.0
    debris: int = 0
    grain: float = 0.0
    speckle: float = 0.0
    speckle_px: float = 5.0
    scale_bar_nm: float = 0.0

    most_relative_sd: ClassVar[float] = 0.6

    def __post_init__(self) -> None:
        mistakes = [text for wrong, text in self._checks() if wrong]
        if mistakes:
            raise InputError("simulated population: " + "; ".join(mistakes))
        shape_shares(self.shapes)

    def _checks(self) -> tuple[tuple[bool, str], ...]:
        choices = (
            ("polarity", ("dark", "bright")),
            ("size_law", ("lognormal", "normal")),
            ("noise", tuple(ELECTRONS_PER_PX)),
        )
        return (
            *(
                (getattr(self, k) not in v, f"{k} is one of {v}, not {getattr(self, k)!r}")
                for k, v in choices
            ),
            *((not getattr(self, k) > 0, f"{k} must be above 0") for k in _ABOVE_0),
            *((not 0 <= getattr(self, k) <= 1, f"{k} must be in 0 ... 1") for k in _SHARES),
            *((not getattr(self, k) >= 0, f"{k} must not be negative") for k in _NOT_NEGATIVE),
            (
                self.relative_sd > self.most_relative_sd,
                f"relative_sd above {self.most_relative_sd:g} is no longer a narrow population",
            ),
            (self.agglomerate_max < 2, "agglomerate_max must be 2 or more"),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a frame, px."""
        return self.height_px, self.width_px

    @property
    def expected_count(self) -> float:
        """Expected number of particles with their centre in a frame."""
        if self.count:
            return self.count
        mean_area = 0.25 * np.pi * self.mean_size_px**2 * (1.0 + self.relative_sd**2)
        return float(self.coverage * self.height_px * self.width_px / mean_area)

    @property
    def mean_size_px(self) -> float:
        """Mean equivalent diameter, px."""
        return self.mean_size_nm / self.pixel_size_nm

    @property
    def reach_px(self) -> float:
        """How far from its border a frame's particles are drawn: no body is larger."""
        return self.mean_size_px * (1.0 + 6.0 * self.relative_sd)

    def draw(self, n: int, rng: np.random.Generator) -> Drawn:
        """Draw the n bodies of one frame from the frame's generator."""
        shapes, parameters = draw_shapes(self, n, rng)
        return Drawn(shapes, parameters, draw_sizes(self, n, rng), np.full(n, -1))


def shape_shares(text: str) -> dict[str, float]:
    """Read a mixture such as ``cube:0.6,disc:0.4`` into shares that add to 1.

    Raises
    ------
    InputError
        If a name is unknown, a share is not a number, or the shares are all zero.
    """
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = part.strip().partition(":")
        try:
            value = float(share or 1)
        except ValueError:
            value = -1.0
        if name not in SHAPES or value < 0:
            raise InputError(
                f"shapes wants name:share of {', '.join(SHAPES)}, found '{part.strip()}'; "
                "write for example cube:0.6,disc:0.4"
            )
        shares[name] = shares.get(name, 0.0) + value
    total = sum(shares.values())
    if total <= 0:
        raise InputError(f"shapes '{text}' has no share above 0; give one shape a share")
    return {name: share / total for name, share in shares.items()}


def draw_sizes(population: Population, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw n equivalent diameters of one frame, with the frame's own common deviation.

    Parameters
    ----------
    population : Population
        Gives mean, spread, law and intra-frame correlation.
    n : int
        Number of particles.
    rng : numpy.random.Generator
        The frame's generator; its next draw is the frame effect.

    Returns
    -------
    (n,) float64 array
        Equivalent diameters, nm.
    """
    between, within = np.sqrt(population.icc), np.sqrt(1.0 - population.icc)
    z = between * rng.standard_normal() + within * rng.standard_normal(n)
    mean, cv = population.mean_size_nm, population.relative_sd
    if population.size_law == "lognormal":
        s2 = np.log1p(cv * cv)
        sizes: np.ndarray = mean * np.exp(np.sqrt(s2) * z - 0.5 * s2)
        return sizes
    return np.maximum(mean * (1.0 + cv * z), 0.2 * mean)


def draw_shapes(
    population: Population, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw n shapes: names and superellipse parameters.

    Parameters
    ----------
    population : Population
        Gives the mixture.
    n : int
        Number of particles.
    rng : numpy.random.Generator
        The frame's generator.

    Returns
    -------
    names : (n,) array of str
        Shape names.
    parameters : (n, 3) float64 array
        ``p d l_ratio`` per particle.
    """
    shares = shape_shares(population.shapes)
    kinds = rng.choice(len(shares), size=n, p=list(shares.values()))
    draws = rng.random((n, 3))
    parameters = np.empty((n, 3))
    for k, name in enumerate(shares):
        rows = kinds == k
        parameters[rows] = _parameters(name, draws[rows])
    return np.array(list(shares))[kinds], parameters


def _parameters(name: str, draws: np.ndarray) -> np.ndarray:
    """Turn uniform draws (n, 3) into p, d, l_ratio of one kind of shape."""
    p_range, symmetries, l_range = {
        "disc": ((2.0, 2.0), (2,), (1.0, 1.0)),
        "ellipse": ((2.0, 2.0), (2,), (1.3, 2.0)),
        "cube": ((5.0, 12.0), (2,), (1.0, 1.15)),
        "rod": ((4.0, 8.0), (2,), (2.5, 4.0)),
        "triangle": ((1.4, 1.7), (3,), (1.7, 2.0)),
        "star": ((1.2, 1.6), (4, 5, 6), (1.8, 2.4)),
        "urchin": ((0.7, 1.0), (5, 6), (1.0, 1.0)),
    }[name]
    p = p_range[0] + (p_range[1] - p_range[0]) * draws[:, 0]
    d = np.array(symmetries, dtype=float)[(draws[:, 1] * len(symmetries)).astype(int)]
    l_ratio = l_range[0] + (l_range[1] - l_range[0]) * draws[:, 2]
    return np.stack([p, d, l_ratio], axis=1)
