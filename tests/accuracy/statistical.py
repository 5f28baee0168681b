"""Sessions of sizes alone, without images: what the interval and weight studies sample from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stempede.particles.clusters import Sample

MEAN_NM = 12.0
HEIGHT_PX, WIDTH_PX = 800.0, 1000.0
PX_PER_NM = 6.0


@dataclass(frozen=True)
class Setting:
    """A kind of session.

    ``headline`` settings are those the promise of 93 to 97 % is made for; the others
    show where it ends. ``areas`` > 0: frames lie in that many areas, which share four
    fifths of the correlated variance, and the mean drifts linearly over them by
    ``drift`` (relative, first to last).
    """

    frames: int
    per_frame: float
    relative_sd: float
    law: str = "lognormal"
    icc: float = 0.02
    uneven: float = 0.3
    areas: int = 0
    drift: float = 0.0
    headline: bool = True


SETTINGS = {
    "20 frames": Setting(20, 40, 0.15),
    "20 frames, normal": Setting(20, 40, 0.15, law="normal"),
    "20 frames, skewed": Setting(20, 40, 0.33),
    "60 frames of 400": Setting(60, 400, 0.15),
    "8 frames": Setting(8, 40, 0.15),
    "icc 0": Setting(20, 40, 0.15, icc=0.0),
    "icc 0.05": Setting(20, 40, 0.15, icc=0.05),
    "60 frames in 10 areas": Setting(60, 40, 0.2, areas=10, drift=0.01),
    "5 frames, uneven": Setting(5, 100, 0.2, uneven=0.5, headline=False),
    "20 frames, very uneven": Setting(20, 40, 0.3, uneven=1.0, headline=False),
    "20 frames, very skewed": Setting(20, 40, 0.5, headline=False),
    "60 frames in 3 areas": Setting(60, 40, 0.2, areas=3, headline=False),
    "60 frames in 6 areas, drift": Setting(60, 40, 0.2, areas=6, drift=0.05, headline=False),
}


def truths(setting: Setting) -> dict[str, float]:
    """Closed forms of the statistics of an undrifting session."""
    cv = setting.relative_sd
    if setting.law == "normal":
        raw3, raw4 = 1 + 3 * cv**2, 1 + 6 * cv**2 + 3 * cv**4
        return {
            "mean": MEAN_NM,
            "relative_sd": cv,
            "median": MEAN_NM,
            "q90": MEAN_NM * (1 + 1.2815515655 * cv),
            "volume_mean": MEAN_NM * raw4 / raw3,
        }
    s2 = np.log1p(cv * cv)
    median = MEAN_NM * np.exp(-0.5 * s2)
    return {
        "mean": MEAN_NM,
        "relative_sd": cv,
        "median": median,
        "q90": median * np.exp(1.2815515655 * np.sqrt(s2)),
        "geometric_mean": median,
        "geometric_sd": np.exp(np.sqrt(s2)),
        "volume_mean": MEAN_NM * np.exp(3 * s2),
    }


def draw(setting: Setting, rng: np.random.Generator) -> tuple[Sample, np.ndarray]:
    """Draw one session with edge losses.

    Returns the whole particles with their weights, and which of them belong to a
    group whose membership is correlated within frames like size is (true share 0.3).
    """
    expected = setting.per_frame * np.exp(
        setting.uneven * rng.standard_normal(setting.frames) - 0.5 * setting.uneven**2
    )
    frame = np.repeat(np.arange(setting.frames), rng.poisson(expected))
    n_areas = setting.areas or setting.frames
    area = np.arange(setting.frames) * n_areas // setting.frames
    effect, group_effect = (_effects(setting, area, n_areas, rng) for _ in range(2))
    root = np.sqrt(setting.icc), np.sqrt(1 - setting.icc)
    z = root[0] * effect[frame] + root[1] * rng.standard_normal(len(frame))
    belongs = root[0] * group_effect[frame] + root[1] * rng.standard_normal(len(frame))
    drift = 1 + setting.drift * (area / max(n_areas - 1, 1) - 0.5)
    x = _sizes(setting, z) * drift[frame]
    extent = np.minimum(x * PX_PER_NM, 0.9 * HEIGHT_PX)
    whole = (1 - extent / HEIGHT_PX) * (1 - extent / WIDTH_PX)
    keep = (rng.random(len(x)) < whole) & (x > 0)
    sample = Sample(x[keep], 1 / whole[keep], area[frame[keep]], n_areas)
    # the 0.3 quantile of a standard normal
    return sample, belongs[keep] < -0.5244005127


def _effects(
    setting: Setting, area: np.ndarray, n_areas: int, rng: np.random.Generator
) -> np.ndarray:
    own = rng.standard_normal(setting.frames)
    if not setting.areas:
        return own
    return np.sqrt(0.8) * rng.standard_normal(n_areas)[area] + np.sqrt(0.2) * own


def _sizes(setting: Setting, z: np.ndarray) -> np.ndarray:
    cv = setting.relative_sd
    if setting.law == "normal":
        return MEAN_NM * (1 + cv * z)
    s2 = np.log1p(cv * cv)
    return MEAN_NM * np.exp(np.sqrt(s2) * z - 0.5 * s2)
