"""How well a shape network does on crops it has not seen; everything a card and a figure say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from stempede.inference import Network
from stempede.models.shapenet import N_D
from stempede.simulate.crops import BLOCK, Crops, training_crops
from stempede.simulate.superellipse import radius

ANSWERS = ("p", "d", "l_ratio")
_AT_ONCE = 16 * BLOCK
_BINS = {"p": np.geomspace(0.3, 20, 13), "d": np.arange(0.5, 7), "l_ratio": np.geomspace(1, 5, 9)}
_TURNS_DEG = (15.0, 33.0, 45.0, 61.0, 90.0, 180.0, 270.0)
_OUTLINE = 240


@dataclass(frozen=True)
class HeldOut:
    """Truth and answers of n crops that did not train; columns are (n,) or (n, k) arrays."""

    truth: dict[str, np.ndarray]
    answer: dict[str, np.ndarray]
    turned: dict[str, np.ndarray]

    @property
    def misses(self) -> dict[str, np.ndarray]:
        """Answer minus truth of log p, d and log L."""
        return {
            "log_p": np.log(self.answer["p"] / self.truth["p"]),
            "d": self.answer["d"] - self.truth["d"],
            "log_l": np.log(self.answer["l_ratio"] / self.truth["l_ratio"]),
        }

    @property
    def best_d(self) -> np.ndarray:
        """Most probable symmetry."""
        best: np.ndarray = self.answer["d_weight"].argmax(axis=1) + 1
        return best


def judge(
    network: Network,
    first: int,
    n: int,
    *,
    seed: int,
    turn: int = 2048,
    news: Callable[[int], None] | None = None,
) -> HeldOut:
    """Ask a network about crops of a series, and about the first of them turned.

    Parameters
    ----------
    network : Network
    first, n, seed : int
        Which crops.
    turn : int
        How many are also turned by seven angles.
    news : callable, optional
        Called with the number of crops each time some are done.
    """
    truths, answers, turned = [], [], []
    for start in range(first, first + n, _AT_ONCE):
        crops = training_crops(min(_AT_ONCE, first + n - start), seed=seed, first=start)
        truths.append({name: getattr(crops, name) for name in (*ANSWERS, "size_px", "contrast")})
        answers.append(network(network.backend.xp.asarray(crops.images)))
        left = turn - (start - first)
        if left > 0:
            turned.append(_turned(network, crops[:left]))
        if news is not None:
            news(len(crops))
    joined = [
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for parts in (truths, answers, turned)
    ]
    return HeldOut(*joined)


def _turned(network: Network, crops: Crops) -> dict[str, np.ndarray]:
    """Return the answers for turned crops, (n, turns) each."""
    answers = [network(turned(crops.images, angle)) for angle in _TURNS_DEG]
    names = ("p", "d", "l_ratio", "d_weight")
    return {name: np.stack([answer[name] for answer in answers], axis=1) for name in names}


def turned(images: np.ndarray, angle_deg: float) -> np.ndarray:
    """Return crops turned about their middle: exactly by quarters, else by bicubic resampling."""
    if angle_deg % 90 == 0:
        return np.ascontiguousarray(np.rot90(images, int(angle_deg // 90), axes=(1, 2)))
    cos, sin = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    turn = torch.tensor([[[cos, -sin, 0.0], [sin, cos, 0.0]]], dtype=torch.float32)
    shape = (len(images), 1, *images.shape[1:])
    grid = torch.nn.functional.affine_grid(turn.expand(len(images), 2, 3), shape, False)
    stack = torch.from_numpy(images)[:, None]
    result: np.ndarray = torch.nn.functional.grid_sample(
        stack, grid, mode="bicubic", padding_mode="border", align_corners=False
    )[:, 0].numpy()
    return result


def metrics(held: HeldOut) -> dict[str, Any]:
    """Return the numbers of a card."""
    misses, n = held.misses, len(held.truth["p"])
    right = held.best_d == held.truth["d"]
    overlap = overlaps(held)
    p = held.truth["p"][: len(overlap)]
    clear = held.answer["d_weight"].max(axis=1) > 0.9
    return {
        "crops": n,
        "d_right": float(right.mean()),
        "rounded_d_right": float((np.rint(held.answer["d"]) == held.truth["d"]).mean()),
        "d_right_where_sure": _mean(right[clear]),
        "sure": float(clear.mean()),
        "rmse_d": _rms(misses["d"]),
        "rmse_log_p": _rms(misses["log_p"]),
        "rmse_log_l": _rms(misses["log_l"]),
        "rmse_log_p_where_d_right": _rms(misses["log_p"][right]),
        "rmse_log_l_where_d_right": _rms(misses["log_l"][right]),
        "median_relative_error_p": _median(np.expm1(misses["log_p"])),
        "median_relative_error_l": _median(np.expm1(misses["log_l"])),
        "outline_jaccard_mean": float(overlap.mean()),
        "outline_jaccard_p_above_0.6": _mean(overlap[p >= 0.6]),
        "outline_jaccard_p_below_0.6": _mean(overlap[p < 0.6]),
        "within_one_error": {name: _within(held, name, 1.0) for name in misses},
        "within_two_errors": {name: _within(held, name, 2.0) for name in misses},
        "turned": turning(held),
        "confusion": confusion(held).tolist(),
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(_mean(values.ravel() ** 2)))


def _median(values: np.ndarray) -> float:
    return float(np.median(np.abs(values)))


def _within(held: HeldOut, name: str, errors: float) -> float:
    return float((np.abs(held.misses[name]) <= errors * held.answer[f"se_{name}"]).mean())


def turning(held: HeldOut) -> dict[str, float]:
    """Return how answers change when crops turn, in units of the stated error too."""
    result = {}
    for name, key in (("p", "log_p"), ("d", "d"), ("l_ratio", "log_l")):
        first = held.answer[name][: len(held.turned[name])]
        change = held.turned[name] - first[:, None]
        if name != "d":
            change = np.log(held.turned[name] / first[:, None])
        stated = held.answer[f"se_{key}"][: len(first), None]
        result[f"median_{key}"] = float(np.median(np.abs(change)))
        result[f"rms_{key}"] = _rms(change)
        result[f"within_error_{key}"] = float((np.abs(change) <= stated).mean())
    best = held.turned["d_weight"].argmax(axis=2)
    result["same_d"] = float((best == best[:, :1]).mean())
    return result


def confusion(held: HeldOut) -> np.ndarray:
    """Return the counts of true d (rows) against the most probable d (columns), (6, 6)."""
    counts = np.zeros((N_D, N_D), np.int64)
    np.add.at(counts, (held.truth["d"].astype(int) - 1, held.best_d - 1), 1)
    return counts


def overlaps(held: HeldOut, at_most: int = 4096) -> np.ndarray:
    """Return the Jaccard index of the answered with the true outline, (n,), of the first crops.

    Both of equal area about one origin, the answer turned to where it fits best; its d is the
    most probable one.
    """
    u = np.arange(_OUTLINE) * (2 * np.pi / _OUTLINE)
    n = min(at_most, len(held.truth["p"]))
    true = _unit_area(u, *(held.truth[name][:n] for name in ANSWERS))
    best = held.best_d[:n].astype(np.float64)
    found = _unit_area(u, held.answer["p"][:n], best, held.answer["l_ratio"][:n])
    result = np.zeros(n)
    for shift in range(_OUTLINE):
        common = np.minimum(true, np.roll(found, shift, axis=1)).mean(axis=1)
        result = np.maximum(result, common / (2 - common))
    return result


def _unit_area(u: np.ndarray, p: np.ndarray, d: np.ndarray, l_ratio: np.ndarray) -> np.ndarray:
    """Return squared radii at directions u whose mean is 1, (n, angles)."""
    squared = radius(u, *(a.astype(np.float64)[:, None] for a in (p, d, l_ratio))) ** 2
    scaled: np.ndarray = squared / squared.mean(axis=1, keepdims=True)
    return scaled


def by_bin(held: HeldOut) -> list[dict[str, Any]]:
    """Return rows of RMSE of log p, d and log L against the true p, d and L."""
    rows = []
    for name, edges in _BINS.items():
        where = np.digitize(held.truth[name], edges) - 1
        for k in range(len(edges) - 1):
            inside = where == k
            if not inside.any():
                continue
            row: dict[str, Any] = {"against": name, "low": edges[k], "high": edges[k + 1]}
            row["n"] = int(inside.sum())
            row |= {f"rmse_{key}": _rms(miss[inside]) for key, miss in held.misses.items()}
            row["d_right"] = float((held.best_d == held.truth["d"])[inside].mean())
            rows.append(row)
    return rows


def by_error(held: HeldOut, groups: int = 10) -> list[dict[str, Any]]:
    """Return rows of stated against found error, in groups of equal size by the stated one.

    Of log p and log L root mean squares; of d the probability that the most probable one is
    wrong, and the share that is.
    """
    columns = {
        name: (held.answer[f"se_{name}"] ** 2, held.misses[name] ** 2)
        for name in ("log_p", "log_l")
    }
    wrong = (held.best_d != held.truth["d"]).astype(float)
    columns["d"] = (1 - held.answer["d_weight"].max(axis=1), wrong)
    rows = []
    for name, (stated, found) in columns.items():
        for part in np.array_split(np.argsort(stated, kind="stable"), groups):
            power = 1.0 if name == "d" else 0.5
            means = {"stated": stated[part].mean() ** power, "found": found[part].mean() ** power}
            rows.append({"of": name, "n": len(part), **{k: float(v) for k, v in means.items()}})
    return rows
