"""Whole micrographs of nanocrystals whose every particle is known.

Frame k of a session depends on the population, the seed and k alone, whatever
else is generated. Outlines are superellipses, drawn with anti-aliased rims in
windows of their own; see ``population`` for what can be set.

Examples
--------
>>> population = Population(count=20, height_px=256, width_px=300)
>>> image, labels, truth = render(population, frame=0, seed=1)
>>> image.shape, image.dtype.name, int(labels.max()) <= len(truth)
((256, 300), 'uint16', True)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from stempede.simulate.noise import ELECTRONS_PER_PX, expose, film_texture, soft_patches
from stempede.simulate.placement import agglomerate_sizes, build_agglomerate, outline_points, place
from stempede.simulate.population import Population
from stempede.simulate.scale_bar import burn_in, scale_bar_box
from stempede.simulate.superellipse import N_VERTICES, unit_outlines
from stempede.simulate.support import clumps, debris, grain, speckle
from stempede.simulate.truth import truth_table
from stempede.tables import Table

__all__ = ["Population", "frames", "render", "scale_bar_box"]

# HAADF support: amorphous film against a particle of middling thickness
_SUPPORT_BRIGHTNESS = 0.15
_FRINGE_PX = 1.5


@dataclass(frozen=True)
class _Bodies:
    """Particles of one frame: outlines in their own frames, places, strength of contrast."""

    radii_px: np.ndarray  # (n, vertices)
    angles: np.ndarray  # (n,)
    centres: np.ndarray  # (n, 2)
    agglomerate: np.ndarray  # (n,)
    touching: np.ndarray  # (n,)
    strength: np.ndarray  # (n,)
    shapes: np.ndarray  # (n,)
    parameters: np.ndarray  # (n, 3)
    group: np.ndarray  # (n,)

    def take(self, rows: np.ndarray) -> _Bodies:
        return _Bodies(**{name: value[rows] for name, value in vars(self).items()})


def frames(
    population: Population, n: int, seed: int = 0, start: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray, Table]]:
    """Yield the frames of a session one by one.

    Parameters
    ----------
    population : Population
        What the session shows.
    n : int
        Number of frames.
    seed : int
        Seed of the session.
    start : int
        First frame.

    Yields
    ------
    tuple
        What ``render`` returns, for frames ``start`` to ``start + n - 1``.
    """
    for frame in range(start, start + n):
        yield render(population, frame, seed)


def render(
    population: Population, frame: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, Table]:
    """Make one frame with its truth.

    Parameters
    ----------
    population : Population
        What the session shows.
    frame : int
        Number of the frame, 0 or more.
    seed : int
        Seed of the session, 0 or more.

    Returns
    -------
    image : (h, w) uint16 array
        Counts.
    labels : (h, w) int32 array
        Visible particles as 1 ... n in raster order, 0 elsewhere (support and burned-in bar).
    truth : Table
        ``truth_particles``: a row per particle with any part in the frame.
    """
    rng = np.random.default_rng([seed, frame])
    bodies = _strew(population, rng)
    thickness, owner = _draw(population, bodies)
    bodies, labels = _in_raster_order(bodies, owner)
    image = photograph(population, thickness, seed, rng)
    box = scale_bar_box(population)
    if box is not None:
        burn_in(image, population, box)
        labels[box[0] : box[2], box[1] : box[3]] = 0
    return image, labels, _truth(population, frame, bodies, labels)


def strewn(population: Population, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return projected thickness and labels, (h, w), of the particles of a frame alone."""
    bodies = _strew(population, rng)
    thickness, owner = _draw(population, bodies)
    return thickness, _in_raster_order(bodies, owner)[1]


def photograph(
    population: Population, thickness: np.ndarray, seed: int, rng: np.random.Generator
) -> np.ndarray:
    """Return (h, w) uint16 counts of what is thick, with all that lies among and behind it.

    Parameters
    ----------
    population : Population
        What the session shows.
    thickness : (h, w) float32 array
        Projected, 1 for a particle of middling thickness.
    seed : int
        Of the film.
    rng : numpy.random.Generator
        The frame's generator.
    """
    thickness = _among(population, thickness, rng)
    intensity = _illuminate(population, thickness, seed, rng)
    return expose(intensity, ELECTRONS_PER_PX[population.noise], rng)


def _strew(population: Population, rng: np.random.Generator) -> _Bodies:
    """Draw all particles of a frame and those around it."""
    h, w = population.shape
    # holds all that can reach into the frame; a bound, so that the number of
    # particles does not depend on the sizes drawn
    margin = population.reach_px
    extent = (h + 2 * margin, w + 2 * margin)
    n = round(population.expected_count * extent[0] * extent[1] / (h * w))
    drawn = population.draw(n, rng)
    sizes_px = drawn.sizes_nm / population.pixel_size_nm
    radii_px = unit_outlines(*drawn.parameters.T) * sizes_px[:, None]
    angles = rng.uniform(0, 2 * np.pi, n)
    strength = np.exp(population.contrast_spread * rng.standard_normal(n))
    bounds = np.cumsum(agglomerate_sizes(n, population.touching, population.agglomerate_max, rng))
    groups = np.split(np.arange(n), bounds[:-1])
    points = outline_points(radii_px, angles)
    overlaps = [np.full(len(g), population.overlap * sizes_px[g].min()) for g in groups]
    within = [build_agglomerate(points[g], o, rng) for g, o in zip(groups, overlaps, strict=True)]
    reach = radii_px.max(axis=1) + 0.5 * population.gap_px
    origins = place(within, [reach[g] for g in groups], extent, rng)
    centres = np.concatenate([o + c for o, c in zip(origins, within, strict=True)])
    sizes = np.array([len(g) for g in groups])
    return _Bodies(
        radii_px=radii_px,
        angles=angles,
        centres=centres % np.array(extent) - margin,
        agglomerate=np.repeat(np.arange(len(groups)), sizes),
        touching=np.repeat(sizes > 1, sizes),
        strength=strength,
        shapes=drawn.shapes,
        parameters=drawn.parameters,
        group=drawn.group,
    )


def _draw(population: Population, bodies: _Bodies) -> tuple[np.ndarray, np.ndarray]:
    """Return projected thickness (h, w) float32 and the number of the body seen at each pixel.

    Where two bodies overlap, a pixel belongs to the one in which it lies deeper.
    """
    thickness = np.zeros(population.shape, dtype=np.float32)
    depth = np.zeros(population.shape, dtype=np.float32)
    owner = np.zeros(population.shape, dtype=np.int32)
    pad = 2.0 + (2.0 * _FRINGE_PX if population.fresnel else 0.0)
    reach = bodies.radii_px.max(axis=1) + pad
    low = np.floor(bodies.centres - reach[:, None]).astype(int)
    high = np.ceil(bodies.centres + reach[:, None]).astype(int) + 1
    low, high = np.maximum(low, 0), np.minimum(high, population.shape)
    for k in np.flatnonzero((low < high).all(axis=1)).tolist():
        window = (slice(low[k, 0], high[k, 0]), slice(low[k, 1], high[k, 1]))
        inward, rho = _inward_distance(bodies, k, window)
        thickness[window] += bodies.strength[k] * _profile(population, inward, rho)
        deeper = inward > depth[window]
        depth[window][deeper] = inward[deeper]
        owner[window][deeper] = k + 1
    return thickness, owner


def _inward_distance(
    bodies: _Bodies, k: int, window: tuple[slice, slice]
) -> tuple[np.ndarray, np.ndarray]:
    """Signed distance to the rim (inside positive, exact to first order) and r / R."""
    dy = np.arange(window[0].start, window[0].stop, dtype=np.float32)[:, None]
    dx = np.arange(window[1].start, window[1].stop, dtype=np.float32)[None]
    dy, dx = dy - np.float32(bodies.centres[k, 0]), dx - np.float32(bodies.centres[k, 1])
    r = np.hypot(dy, dx)
    steps = np.float32(N_VERTICES / (2 * np.pi))
    position = (np.arctan2(dy, dx) - np.float32(bodies.angles[k])) * steps
    below = np.floor(position)
    fraction = position - below
    index = below.astype(np.int32) % N_VERTICES
    radii = bodies.radii_px[k].astype(np.float32)
    rise = np.roll(radii, -1) - radii
    # the rim is not at right angles to the ray: shorten by the rim's slope
    slope = rise * steps / radii
    rim = radii[index] + fraction * rise[index]
    return (rim - r) / np.sqrt(1.0 + slope**2)[index], r / rim


def _profile(population: Population, inward: np.ndarray, rho: np.ndarray) -> np.ndarray:
    """Projected thickness of one body, 1 on average inside, with an anti-aliased rim."""
    coverage = np.clip(inward + 0.5, 0.0, 1.0)
    k = population.thickness_contrast
    # 2/3 is the mean of the dome over a disc
    dome = np.sqrt(np.maximum(1.0 - rho * rho, 0.0)) * 1.5
    result = coverage * ((1.0 - k) + k * dome)
    if population.edge_darkening:
        result += population.edge_darkening * coverage * np.exp(-((inward / 1.5) ** 2))
    if population.fresnel:
        fringe = np.exp(-(((inward + _FRINGE_PX) / (0.5 * _FRINGE_PX)) ** 2))
        result -= population.fresnel * (1.0 - coverage) * fringe
    return result


def _in_raster_order(bodies: _Bodies, owner: np.ndarray) -> tuple[_Bodies, np.ndarray]:
    """Drop bodies that show no pixel and number the rest by their first one."""
    pixels = np.flatnonzero(owner)
    first = np.full(len(bodies.angles) + 1, -1, dtype=np.int64)
    # of many values for one place the last stays: the earliest pixel
    first[owner.ravel()[pixels][::-1]] = pixels[::-1]
    seen = np.flatnonzero(first >= 0)
    seen = seen[np.argsort(first[seen])]
    relabel = np.zeros(len(first), dtype=np.int32)
    relabel[seen] = np.arange(1, len(seen) + 1)
    return bodies.take(seen - 1), relabel[owner]


def _among(population: Population, thickness: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give particles their grain and add what lies among them; draws nothing where none is set."""
    shape, scale_px = population.shape, population.mean_size_px
    if population.grain:
        thickness = thickness * grain(shape, population.grain, scale_px, rng)
    if population.debris:
        thickness = thickness + debris(shape, population.debris, scale_px, rng)
    if population.support:
        lumps = np.float32(population.support) * clumps(shape, scale_px, rng)
        # what is thick is rough too
        rough = 1.0 + np.float32(4.0 * population.texture) * film_texture(shape, 0, rng)
        thickness = thickness + lumps * rough
    return thickness


def _illuminate(
    population: Population, thickness: np.ndarray, seed: int, rng: np.random.Generator
) -> np.ndarray:
    """Turn projected thickness into relative intensity (h, w) float32, blurred."""
    shape = population.shape
    film = population.texture * film_texture(shape, seed, rng)
    scale_px = population.mean_size_px
    patches = soft_patches(shape, population.contamination, scale_px, rng)
    if population.polarity == "dark":
        # a particle of thickness 1 takes away the share ``contrast``
        absorption = -np.log(max(1.0 - population.contrast, 1e-3))
        intensity = np.exp(-(np.float32(absorption) * thickness + film + 0.05 * patches))
    else:
        support = np.float32(_SUPPORT_BRIGHTNESS) * (1.0 + film + 0.3 * patches)
        intensity = support + np.float32(population.contrast) * thickness
    intensity *= _gradient(shape, population.gradient, rng)
    if population.blur_px:
        intensity = ndimage.gaussian_filter(intensity, population.blur_px, truncate=3.0)
    if population.speckle:
        grains = speckle(shape, population.speckle_px, rng)
        intensity *= np.maximum(1.0 + np.float32(population.speckle) * grains, 0.0)
    return intensity


def _gradient(shape: tuple[int, int], strength: float, rng: np.random.Generator) -> np.ndarray:
    """Illumination with a slope in a random direction and a little fall-off, near 1."""
    y = np.linspace(-0.5, 0.5, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-0.5, 0.5, shape[1], dtype=np.float32)[None]
    turn = rng.uniform(0, 2 * np.pi)
    slope_y, slope_x = np.sin(turn), np.cos(turn)
    scale = strength / (abs(slope_y) + abs(slope_x))
    rows = np.float32(scale * slope_y) * y - np.float32(0.3 * strength) * y * y
    columns = np.float32(scale * slope_x) * x - np.float32(0.3 * strength) * x * x
    return 1.0 + rows + columns


def _truth(population: Population, frame: int, bodies: _Bodies, labels: np.ndarray) -> Table:
    """Put the bodies of a frame into the truth table."""
    n = len(bodies.angles)
    visible = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    points = outline_points(bodies.radii_px, bodies.angles) + bodies.centres[:, None]
    top, bottom = points.min(axis=1), points.max(axis=1)
    size = np.array(population.shape)
    table = truth_table(
        frame,
        population.pixel_size_nm,
        bodies.radii_px,
        {
            "particle": np.arange(n),
            "label": np.where(visible > 0, np.arange(1, n + 1), 0),
            "y_px": bodies.centres[:, 0],
            "x_px": bodies.centres[:, 1],
            "shape": bodies.shapes,
            "group": bodies.group,
            "p": bodies.parameters[:, 0],
            "d": bodies.parameters[:, 1],
            "l_ratio": bodies.parameters[:, 2],
            "angle_deg": np.rad2deg(bodies.angles),
            "agglomerate": bodies.agglomerate,
            "touching": bodies.touching,
            "complete": ((top > -0.5) & (bottom < size - 0.5)).all(axis=1),
        },
    )
    return table.with_columns({"visible": visible / table["area_px2"]})
