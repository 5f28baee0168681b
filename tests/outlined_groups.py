"""Tables of particles of known groups: outlines drawn as labels, measured by the kernel.

No image is made and nothing is segmented: what is left between truth and features are pixels
and a roughness of the outline, which makes some hundred tables a matter of minutes.
"""

from __future__ import annotations

import numpy as np

from stempede.particles.features import in_nm
from stempede.simulate.mixture import Group, draw_members
from stempede.simulate.superellipse import N_VERTICES, unit_outlines
from stempede.tables import FRAMES, PARTICLES, Table
from stempede_kernels.regions import regions

PIXEL_NM = 0.25
ROUGHNESS_PX = 0.4
# errors of a superellipse fit to such outlines
P_ERROR, L_ERROR = 0.06, 0.02
_HARMONICS = np.arange(1, 9)
_AT_ONCE = 150


def drawn(
    groups: tuple[Group, ...], n: int, rng: np.random.Generator, *, shapes: bool = True
) -> tuple[Table, np.ndarray]:
    """Return ``particles`` of n particles in 40 frames, and the true group of each.

    With ``shapes`` their superellipse parameters stand in the table with errors, and with any d
    where the outline is near a circle.
    """
    share = np.array([g.share for g in groups])
    group = rng.choice(len(groups), n, p=share / share.sum())
    parameters, size_nm = draw_members(groups, group, rng.standard_normal((n, 3)))
    size_px = np.clip(size_nm, 2.5, 60.0) / PIXEL_NM
    radii = unit_outlines(*parameters.T) * size_px[:, None] + _rough(n, rng)
    columns = _measured(radii, rng.uniform(0, 2 * np.pi, n), rng)
    columns |= in_nm(columns, np.full((n, 2), PIXEL_NM))
    columns |= {
        "frame": rng.integers(0, 40, n),
        "particle": np.arange(n),
        "accepted": np.ones(n, bool),
        "weight": np.ones(n),
    }
    if shapes:
        columns |= _fitted(parameters, rng)
    return Table(PARTICLES, {k: columns[k] for k in PARTICLES.names if k in columns}), group


def frames_of(n: int, sample: str = "") -> Table:
    """Return ``frames`` of n measured frames."""
    rows = [{"frame": k, "state": "measured", "sample": sample} for k in range(n)]
    return Table.from_rows(FRAMES, rows)


def _rough(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return smooth departures of outlines, (n, vertices) px."""
    u = np.arange(N_VERTICES) * (2 * np.pi / N_VERTICES)
    waves = np.concatenate([np.cos(np.outer(_HARMONICS, u)), np.sin(np.outer(_HARMONICS, u))])
    size = ROUGHNESS_PX / np.sqrt(len(_HARMONICS))
    return size * rng.standard_normal((n, len(waves))) @ waves


def _fitted(parameters: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    n = len(parameters)
    p = parameters[:, 0] * np.exp(P_ERROR * rng.standard_normal(n))
    l_ratio = np.exp(np.abs(np.log(parameters[:, 2]) + L_ERROR * rng.standard_normal(n)))
    round_ = (np.abs(np.log(p / 2)) < 0.15) & (l_ratio < 1.05)
    d = np.where(round_, rng.integers(1, 7, n), parameters[:, 1])
    return {"p": p, "d": d, "l_ratio": l_ratio}


def _measured(
    radii: np.ndarray, angle: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draw outlines as labels, side by side, and measure them."""
    reach = np.ceil(radii.max(axis=1)).astype(int) + 2
    order = np.argsort(reach, kind="stable")
    found = []
    for rows in np.array_split(order, max(1, len(order) // _AT_ONCE)):
        labels = _labels(radii[rows], angle[rows], int(reach[rows].max()), rng)
        columns = regions(labels, np.zeros(labels.shape, np.float32))
        by_label = np.argsort(columns["label"])
        found.append({name: column[by_label] for name, column in columns.items()})
    back = np.argsort(order)
    return {name: np.concatenate([f[name] for f in found])[back] for name in found[0]}


def _labels(
    radii: np.ndarray, angle: np.ndarray, reach: int, rng: np.random.Generator
) -> np.ndarray:
    side = 2 * reach + 1
    labels = np.zeros((1, side, side * len(radii)), np.int32)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(float)
    for k, (outline, turn) in enumerate(zip(radii, angle, strict=True)):
        dy, dx = rng.uniform(-0.5, 0.5, 2)
        direction = np.arctan2(y - dy, x - dx) - turn
        vertex = np.rint(direction * (N_VERTICES / (2 * np.pi))).astype(int) % N_VERTICES
        inside = np.hypot(y - dy, x - dx) <= outline[vertex]
        labels[0, :, k * side : (k + 1) * side][inside] = k + 1
    return labels
