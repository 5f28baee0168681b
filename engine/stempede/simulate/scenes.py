"""Scenes: small micrographs of every kind, as a segmenter must take them.

Each scene has a population of its own, drawn at random over what bright field and HAADF of
nanocrystals show, at the scale at which the segmenter looks: particles are mostly 15 to 38
pixels across and seldom as few as 8 or as many as 64, for the size that is known before may be
twice or half the true one. What is far finer is grain, and no particle.
Some are drawn finer and averaged over blocks, some coarser and enlarged, as a run does with
images of another scale, so that blur and noise have the grain that they have there; some are
smoothed, streaked, or have lost their slow changes, as images have that went through other hands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from stempede.errors import InputError
from stempede.simulate.interiors import interiors, paled
from stempede.simulate.micrograph import photograph, strewn
from stempede.simulate.noise import ELECTRONS_PER_PX
from stempede.simulate.packing import packed
from stempede.simulate.population import SHAPES, Population
from stempede.simulate.support import clouds, clumps, granules, spheres, streaks

SIZES_PX = (8.0, 64.0)
"""Mean diameters of a scene's particles at least and at most."""

# of the log-normal law of those diameters
_TYPICAL_PX, _SPREAD = 24.0, 0.45

_ZOOMS = (0.5, 1, 1, 1, 2, 2, 3)
# below this many pixels across a body has no outline to be seen
_LEAST_DRAWN_PX = 6.0
# of SHAPES: stars and urchins are rare
_SHARES = (0.22, 0.18, 0.22, 0.12, 0.18, 0.05, 0.03)
# a few films are enough, and each is kept once made
_FILMS = 4
_PACKED, _INSIDES, _PALED = 0.2, 0.6, 0.3
_ON_SUPPORT = {"dark": 0.35, "bright": 0.7}
_SUPPORTS = (clumps, granules, granules, spheres, clouds)
_SMOOTHED, _STREAKED, _LEVELLED = 0.3, 0.15, 0.35


@dataclass(frozen=True)
class Scene:
    """One scene.

    Parameters
    ----------
    image : (h, w) float32 array
        Counts; particles bright.
    labels : (h, w) int32 array
        1 ... n, 0 elsewhere.
    """

    image: np.ndarray
    labels: np.ndarray


def scene(size_px: int, number: int, seed: int = 0) -> Scene:
    """Draw scene ``number`` of a seed, the same whatever else is drawn.

    Parameters
    ----------
    size_px : int
        Side of the scene, a multiple of 2.
    number, seed : int
        0 or more.
    """
    rng = np.random.default_rng([seed, number, 0x5CE])
    diameter_px = float(np.clip(rng.lognormal(np.log(_TYPICAL_PX), _SPREAD), *SIZES_PX))
    zoom = float(rng.choice(_ZOOMS))
    if diameter_px * zoom < _LEAST_DRAWN_PX:
        zoom = 1.0
    population = draw_population(round(size_px * zoom), diameter_px * zoom, rng)
    thickness, labels = _particles(population, rng)
    thickness = thickness + _support(population, rng)
    counts = photograph(population, thickness, number % _FILMS, rng)
    image = _handled(counts.astype(np.float32), population.mean_size_px, rng)
    if population.polarity == "dark":
        image = -image
    return Scene(*_rescaled(image, labels, zoom))


def draw_population(side_px: int, diameter_px: float, rng: np.random.Generator) -> Population:
    """Draw what a scene of particles of this mean diameter shows."""
    polarity = "dark" if rng.random() < 0.6 else "bright"
    kinds = rng.choice(SHAPES, size=rng.integers(1, 4), replace=False, p=_SHARES)
    contrast = _log_uniform(rng, 0.08, 0.85)
    # a film as rough as the particles are dark shows none of them
    roughest = min(0.12, 0.5 * contrast) if polarity == "dark" else 0.4
    sometimes = rng.random(5) < (0.5, 0.4, 0.4, 0.6, 0.75 if polarity == "dark" else 0.2)
    out_of_focus = bool(sometimes[4])
    return Population(
        height_px=side_px,
        width_px=side_px,
        pixel_size_nm=1.0,
        polarity=polarity,
        # one particle or so at least
        coverage=max(rng.uniform(0, 0.7) ** 1.4, 0.6 * (diameter_px / side_px) ** 2),
        mean_size_nm=diameter_px,
        relative_sd=_log_uniform(rng, 0.04, 0.6),
        shapes=",".join(f"{kind}:{share:.3f}" for kind, share in zip(kinds, rng.random(3) + 0.2)),
        touching=rng.uniform(0, 0.9),
        agglomerate_max=int(rng.integers(2, 13)),
        overlap=rng.uniform(0, 0.08),
        gap_px=rng.uniform(1, 0.3 * diameter_px),
        contrast=contrast,
        contrast_spread=rng.uniform(0.05, 0.6),
        thickness_contrast=rng.uniform(0, 1),
        edge_darkening=rng.uniform(0, 0.5) * sometimes[0],
        fresnel=rng.uniform(0, 0.4) * sometimes[1] * (polarity == "dark"),
        blur_px=_log_uniform(rng, 0.5, max(0.6, 0.07 * diameter_px)),
        noise=str(rng.choice(list(ELECTRONS_PER_PX))),
        gradient=rng.uniform(0, 0.2),
        texture=_log_uniform(rng, 0.004, roughest),
        contamination=int(rng.integers(0, 4)),
        debris=int(rng.integers(0, 1 + int((side_px / diameter_px) ** 2 / 3))) * int(sometimes[2]),
        grain=rng.uniform(0.05, 0.4) * sometimes[3],
        speckle=contrast * _log_uniform(rng, 0.1, 1.5) * out_of_focus,
        speckle_px=_log_uniform(rng, 3.0, np.clip(0.45 * diameter_px, 3.5, 10.0)),
    )


def _particles(population: Population, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return thickness and labels of a scene's particles, packed or strewn."""
    if rng.random() < _PACKED:
        thickness, labels = packed(population.shape, population.mean_size_px, rng)
    else:
        thickness, labels = _as_dense_as_possible(population, rng)
    if rng.random() < _INSIDES:
        thickness = thickness * interiors(labels, rng.uniform(0.05, 0.5), rng)
    if rng.random() < _PALED:
        thickness = thickness * paled(labels, rng.uniform(0.1, 0.7), rng)
    return thickness, labels


def _as_dense_as_possible(
    population: Population, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Strew a population, thinned until there is room for it."""
    while True:
        try:
            return strewn(population, rng)
        except InputError:
            population = replace(
                population, coverage=0.7 * population.coverage, gap_px=0.7 * population.gap_px
            )


def _support(population: Population, rng: np.random.Generator) -> np.ndarray:
    """Return the thickness of what particles lie on, often as bright as they are."""
    if rng.random() >= _ON_SUPPORT[population.polarity]:
        return np.zeros(population.shape, np.float32)
    kind = _SUPPORTS[int(rng.integers(len(_SUPPORTS)))]
    thickness = np.float32(_log_uniform(rng, 0.1, 2.5 if population.polarity == "bright" else 1.5))
    found: np.ndarray = thickness * kind(population.shape, population.mean_size_px, rng)
    return found


def _handled(image: np.ndarray, diameter_px: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth an image, draw lines over it, take off its slow changes: each now and then."""
    smoothed, streaked, levelled = rng.random(3) < (_SMOOTHED, _STREAKED, _LEVELLED)
    if smoothed:
        image = ndimage.gaussian_filter(image, rng.uniform(0.5, 1.5), truncate=3.0)
    if streaked:
        strength = np.float32(image.std() * _log_uniform(rng, 0.05, 0.5))
        image = image + strength * streaks((image.shape[0], image.shape[1]), rng)
    if levelled:
        sigma_px = diameter_px * rng.uniform(1.5, 5.0)
        slow = ndimage.gaussian_filter(image, sigma_px, mode="nearest", truncate=2.0)
        image = image - np.float32(rng.uniform(0.3, 1.0)) * slow
    return image


def _rescaled(image: np.ndarray, labels: np.ndarray, zoom: float) -> tuple[np.ndarray, np.ndarray]:
    """Average blocks of ``zoom`` pixels, or enlarge twice where it is a half."""
    if zoom < 1:
        larger = ndimage.zoom(image, 2, order=1, mode="nearest", grid_mode=True)
        return larger, labels.repeat(2, axis=0).repeat(2, axis=1)
    k = round(zoom)
    h, w = (side // k for side in image.shape)
    means = image[: h * k, : w * k].reshape(h, k, w, k).mean(axis=(1, 3))
    return means, labels[k // 2 :: k, k // 2 :: k][:h, :w]


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
