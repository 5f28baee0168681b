"""Shapes: the superellipse of each accepted particle, fitted to its outline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stempede.errors import RecipeError
from stempede.frames import Batch
from stempede.inference import Network, check, find, require_torch
from stempede.particles.crops import crops
from stempede_kernels.superellipse import CIRCLE, Fits, State, fit

STARTS = ("network", "contour")
CROP_PX = 44
"""Side of the crops that the network sees."""

_WITHOUT = "leave the network out with --set particles.shapes.start=contour"
# components of the network's answer below this probability start no fit
_LEAST_WEIGHT = 0.02
_NETWORK = ("p", "d", "l_ratio", "se_log_p", "se_d", "se_log_l")


@dataclass(frozen=True)
class Shapes:
    """Give every accepted particle p, d and L of equation 1, with their errors and overlap.

    The superellipse is fitted to the outline of the particle's label; see the README of
    ``stempede_kernels.superellipse`` for the equation, its canonical form and the choice of d.

    Parameters
    ----------
    start : {"network", "contour"}
        Where fits start: from what the shape network says of the particle's crop, d that it
        holds for unlikely tried only where the others overlap poorly; or from the harmonics of
        the outline, every d tried. The network wants torch.
    weights : str
        Of ``network``: ``shape``, which is shipped, or a ``.pt`` file with its card.
    """

    start: str = "network"
    weights: str = "shape"

    name: ClassVar[str] = "particles.shapes"
    reads: ClassVar[tuple[str, ...]] = ("images", "labels", "valid", "particles")
    writes: ClassVar[tuple[str, ...]] = ("particles",)

    def __post_init__(self) -> None:
        if self.start not in STARTS:
            raise RecipeError(f"start is {' or '.join(STARTS)}; found '{self.start}'; correct it")

    def check(self) -> None:
        """Hold that the network can be run.

        Raises
        ------
        ModelError
            If torch, the weights or their card are missing or do not belong together.
        """
        if self.start == "network":
            require_torch(self.weights, _WITHOUT)
            check(find(self.weights), kind="shape")

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with the shape's fields of accepted particles set."""
        particles = batch.tables["particles"]
        host = {
            name: batch.backend.download(column, self.name) if hasattr(column, "get") else column
            for name, column in particles.columns.items()
            if name in ("accepted", "frame", "label") or name.startswith("bbox")
        }
        rows = np.flatnonzero(host["accepted"])
        if not len(rows):
            return batch
        answer = self._ask(batch) if self.start == "network" else {}
        place = np.searchsorted(batch.frames, host["frame"][rows], sorter=np.argsort(batch.frames))
        index = np.argsort(batch.frames)[place]
        box = np.stack([host[f"bbox_{c}_px"][rows] for c in ("y0", "x0", "y1", "x1")], axis=1)
        fits = fit(batch.maps["labels"], index, host["label"][rows], box, guess=_guess(answer))
        columns = _columns(fits) | {f"{k}_network": answer[k] for k in _NETWORK if answer}
        spread = {name: _spread(particles[name], rows, values) for name, values in columns.items()}
        return batch.with_(tables={"particles": particles.with_columns(spread)})

    def _ask(self, batch: Batch) -> dict[str, np.ndarray]:
        """Return what the network says of each accepted particle, on the host."""
        network = Network.load(self.weights, batch.backend, kind="shape", without=_WITHOUT)
        answer = network(crops(batch, CROP_PX))
        return {name: batch.backend.download(a, self.name) for name, a in answer.items()}


def _guess(answer: dict[str, np.ndarray]) -> np.ndarray | None:
    """Return p and L by d and by branch of p (n, 6, 2, 2), NaN where they are not likely."""
    if not answer:
        return None
    likely = answer["weight"] >= _LEAST_WEIGHT
    both = np.stack([answer["start_p"], answer["start_l"]], axis=2).astype(np.float64)
    both[~likely] = np.nan
    return both.reshape(len(both), 6, 2, 2)


def _columns(fits: Fits) -> dict[str, Any]:
    """Return the table's fields of fitted particles."""
    y, x, radius, angle, p, d, l_ratio = fits.shapes.T
    states = np.array([s.name.lower().replace("_", " ") for s in State])
    states = states.astype(np.dtypes.StringDType())
    return {
        "p": p,
        "d": d,
        "l_ratio": l_ratio,
        "jaccard": fits.jaccard,
        "jaccard_other": fits.jaccard_other,
        "is_circle": fits.jaccard_circle >= fits.jaccard - CIRCLE,
        # small errors of a logarithm are relative errors
        "se_p": p * fits.errors[:, 4],
        "se_l_ratio": l_ratio * fits.errors[:, 5],
        "shape_y_px": y,
        "shape_x_px": x,
        "shape_radius_px": radius,
        "shape_angle_deg": np.degrees(angle),
        "se_shape_angle_deg": np.degrees(fits.errors[:, 3]),
        "shape_state": states[fits.state],
    }


def _spread(column: Any, rows: np.ndarray, values: Any) -> np.ndarray:
    """Return a host column with the values of some rows set."""
    result = np.array(column)
    result[rows] = values
    return result
