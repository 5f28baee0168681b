"""Tables of particles of a few known groups, drawn without images."""

from __future__ import annotations

import numpy as np

from stempede.tables import FRAMES, PARTICLES, SIZES, Table

# log size, log elongation, logits of circularity, solidity and convexity, log p, d
CENTRES = np.array(
    [
        [0.0, -0.6, 1.5, 2.5, 2.6, 2.0, 2.0],
        [0.5, 0.6, 0.2, 1.5, 2.0, 0.2, 1.0],
        [-0.4, -0.2, 2.2, 3.0, 3.2, 0.8, 3.0],
    ]
)
SPREAD = np.array([0.12, 0.12, 0.25, 0.25, 0.25, 0.15, 0.2])


def draw(
    n: int = 600,
    n_frames: int = 12,
    *,
    groups: int = 3,
    shares: dict[str, tuple[float, ...]] | None = None,
    nm_per_px: float = 0.25,
    shape: bool = True,
    spread: float = 1.0,
    seed: int = 0,
) -> tuple[Table, Table, np.ndarray]:
    """Return frames, particles and the (n,) true group of each.

    ``shares`` has the share of each group by sample; frames go to samples in turn.
    """
    rng = np.random.default_rng(seed)
    shares = shares or {"": (1 / groups,) * groups}
    names = list(shares)
    frame = np.sort(rng.integers(0, n_frames, n))
    group = np.array([rng.choice(groups, p=shares[names[f % len(names)]]) for f in frame])
    z = CENTRES[group] + rng.normal(size=(n, 7)) * SPREAD * spread
    size, ratio = 40 * np.exp(z[:, 0]), 1 + np.exp(z[:, 1])
    columns = {
        "frame": frame,
        "particle": np.arange(n),
        "label": np.arange(n) + 1,
        "y_px": rng.uniform(0, 300, n),
        "x_px": rng.uniform(0, 500, n),
        "area_px2": size**2,
        "aspect_ratio": ratio,
        "eccentricity": np.sqrt(1 - ratio**-2),
        "circularity": 1 / (1 + np.exp(-z[:, 2])),
        "solidity": 1 / (1 + np.exp(-z[:, 3])),
        "convexity": 1 / (1 + np.exp(-z[:, 4])),
        "roundness": 1 / ratio,
        **{f"hu{k}": 10.0**-k * np.exp(0.1 * rng.normal(size=n)) for k in (1, 2, 3)},
        "group": group,
        "accepted": rng.random(n) < 0.95,
        "weight": rng.uniform(1.0, 1.3, n),
    }
    for name in SIZES:
        power = 2 if name.endswith("_area") else 1
        columns[f"{name}_px{2 if power == 2 else ''}"] = size**power * np.exp(
            0.03 * rng.normal(size=n)
        )
    if shape:
        columns |= {"p": np.exp(z[:, 5]), "d": z[:, 6], "l_ratio": ratio}
    if nm_per_px:
        for name in [c for c in columns if c.endswith(("_px", "_px2")) and c[1] != "_"]:
            power = 2 if name.endswith("2") else 1
            columns[name.replace("_px", "_nm")] = columns[name] * nm_per_px**power
    pixel = np.full(n_frames, nm_per_px or np.nan)
    frames = Table(
        FRAMES,
        {
            "frame": np.arange(n_frames),
            "source": [f"/data/image_{k}.tif" for k in range(n_frames)],
            "height_px": np.full(n_frames, 300),
            "width_px": np.full(n_frames, 500),
            "page": np.zeros(n_frames, np.int64),
            "sample": [names[k % len(names)] for k in range(n_frames)],
            "state": ["measured"] * n_frames,
            "pixel_size_nm": pixel,
        },
    )
    return frames, Table(PARTICLES, columns), group
