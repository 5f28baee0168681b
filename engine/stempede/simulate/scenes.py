"""Scenes: small micrographs of every kind, as a segmenter must take them.

Each scene has a population of its own, drawn at random over what bright field and HAADF of
nanocrystals show, at the scale at which the segmenter looks: particles 10 to 52 pixels across.
Some are drawn finer and averaged over blocks, some coarser and enlarged, as a run does with
images of another scale, so that blur and noise have the grain that they have there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from stempede.errors import InputError
from stempede.simulate.micrograph import render
from stempede.simulate.noise import ELECTRONS_PER_PX
from stempede.simulate.population import SHAPES, Population

SIZES_PX = (10.0, 52.0)
"""Mean diameters of a scene's particles, log-uniform."""

_ZOOMS = (0.5, 1, 1, 1, 2, 2, 3)
# below this many pixels across a body has no outline to be seen
_LEAST_DRAWN_PX = 6.0
# of SHAPES: stars and urchins are rare
_SHARES = (0.22, 0.18, 0.22, 0.12, 0.18, 0.05, 0.03)
# a few films are enough, and each is kept once made
_FILMS = 4


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
    diameter_px = _log_uniform(rng, *SIZES_PX)
    zoom = float(rng.choice(_ZOOMS))
    if diameter_px * zoom < _LEAST_DRAWN_PX:
        zoom = 1.0
    population = draw_population(round(size_px * zoom), diameter_px * zoom, rng)
    counts, labels = _as_dense_as_possible(population, number, seed % _FILMS)
    image = counts.astype(np.float32)
    if population.polarity == "dark":
        image = -image
    return Scene(*_rescaled(image, labels, zoom))


def _as_dense_as_possible(
    population: Population, number: int, film: int
) -> tuple[np.ndarray, np.ndarray]:
    """Render a population, thinned until there is room for it."""
    while True:
        try:
            return render(population, number, film)[:2]
        except InputError:
            population = replace(
                population, coverage=0.7 * population.coverage, gap_px=0.7 * population.gap_px
            )


def draw_population(side_px: int, diameter_px: float, rng: np.random.Generator) -> Population:
    """Draw what a scene of particles of this mean diameter shows."""
    polarity = "dark" if rng.random() < 0.6 else "bright"
    kinds = rng.choice(SHAPES, size=rng.integers(1, 4), replace=False, p=_SHARES)
    contrast = _log_uniform(rng, 0.08, 0.85)
    # a film as rough as the particles are dark shows none of them
    roughest = min(0.12, 0.5 * contrast) if polarity == "dark" else 0.4
    sometimes = rng.random(6) < (0.5, 0.4, 0.25, 0.4, 0.6, 0.75 if polarity == "dark" else 0.2)
    on_support, out_of_focus = bool(sometimes[2]), bool(sometimes[5])
    return Population(
        height_px=side_px,
        width_px=side_px,
        pixel_size_nm=1.0,
        polarity=polarity,
        coverage=rng.uniform(0.1, 0.7) ** 1.3,
        mean_size_nm=diameter_px,
        relative_sd=_log_uniform(rng, 0.04, 0.4),
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
        support=rng.uniform(0.1, 1.5) * on_support,
        debris=int(rng.integers(0, 1 + int((side_px / diameter_px) ** 2 / 3))) * int(sometimes[3]),
        grain=rng.uniform(0.05, 0.4) * sometimes[4],
        speckle=contrast * rng.uniform(0.05, 0.8) * out_of_focus,
        speckle_px=_log_uniform(rng, 3.0, 9.0),
    )


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
