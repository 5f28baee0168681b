"""Layer means: tilt, cell and centring of one crystal by layer, with errors that share columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from stempede.columns.forms import Form
from stempede.columns.network import Network

_BISECTIONS = 60


@dataclass(frozen=True)
class Mean:
    """A quantity over the sites of one layer; the layer is None for the whole crystal."""

    quantity: str
    layer: int | None
    n_sites: int
    mean: float
    se: float


def by_layer(quantity: str, form: Form, layer: np.ndarray) -> Iterator[Mean]:
    """Yield the mean of a quantity in each layer that has a known site.

    Parameters
    ----------
    quantity : str
    form : Form
        One place per site.
    layer : (m,) int64 array
        Negative where unknown.
    """
    for n, where in _known_layers(form, layer):
        yield Mean(quantity, n, int(where.sum()), *form.mean(where))


def absolute_by_layer(quantity: str, form: Form, layer: np.ndarray) -> Iterator[Mean]:
    """Yield the mean size of a quantity in each layer, the part that errors make removed.

    The value is the size that all sites of the layer would have to have for the mean of their
    absolute values to be what it is.
    """
    for n, where in _known_layers(form, layer):
        value, error = form.value[where], form.se[where]
        size, slope = _unfolded(float(np.abs(value).mean()), error)
        weights = np.where(where, np.sign(np.nan_to_num(form.value)), 0.0) / where.sum()
        se = float(np.sqrt(form.covariance(weights)[0, 0]))
        yield Mean(quantity, n, int(where.sum()), size, se / max(slope, 0.5))


def rms_by_layer(quantity: str, forms: tuple[Form, Form], layer: np.ndarray) -> Iterator[Mean]:
    """Yield the root mean square of a vector in each layer, the errors' part removed."""
    known = np.where(np.isfinite(forms[1].value), forms[0].value, np.nan)
    for n, where in _known_layers(Form(known, None, None), layer):
        values = [f.value[where] for f in forms]
        covariances = [_sparse_covariance(f.take(where)) for f in forms]
        m = int(where.sum())
        errors = sum(float(c.diagonal().sum()) for c in covariances) / m
        square = sum(float(v @ v) for v in values) / m - errors
        noise = 2 * sum(float(c.power(2).sum()) for c in covariances)
        seen = 4 * sum(float(v @ c @ v) for v, c in zip(values, covariances, strict=True))
        # the values hold their errors: v' C v is too large by tr(C C)
        spread = max(noise, seen - noise)
        se_square = np.sqrt(spread) / m
        size = np.sqrt(max(square, 0.0))
        se = se_square / (2 * size) if square > se_square else np.sqrt(se_square)
        yield Mean(quantity, n, m, float(size), float(se))


def _sparse_covariance(form: Form) -> Any:
    """(m, m) CSR: places that share no column have none."""
    return (form.gradient @ form.noise @ form.gradient.T).tocsr()


def _known_layers(form: Form, layer: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    known = np.isfinite(form.value) & (layer >= 0)
    for n in np.unique(layer[known]).tolist():
        yield n, known & (layer == n)


def _unfolded(observed: float, error: np.ndarray) -> tuple[float, float]:
    """Return the size whose mean absolute value under the errors is observed, and its slope."""
    error = np.maximum(error, 1e-12)

    def folded(size: float) -> float:
        z = size / error
        mean = error * np.sqrt(2 / np.pi) * np.exp(-0.5 * z * z) + size * special.erf(
            z / np.sqrt(2)
        )
        return float(mean.mean())

    low, high = 0.0, observed
    if folded(0.0) >= observed:
        return 0.0, 0.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if folded(middle) < observed else (low, middle)
    return low, float(special.erf(low / (error * np.sqrt(2))).mean())


def along(forms: tuple[Form, Form], direction: np.ndarray) -> Form:
    """Return the component of a (y, x) vector along one direction per place.

    Parameters
    ----------
    forms : (Form, Form)
        Along y and x.
    direction : (m, 2) float64 array
        Unit vectors (y, x).
    """
    parts = [f.times(d) for f, d in zip(forms, direction.T, strict=True)]
    return Form(
        parts[0].value + parts[1].value, parts[0].gradient + parts[1].gradient, parts[0].noise
    )


def outward(network: Network) -> np.ndarray:
    """Return (s, 2) unit vectors (y, x) from the crystal's centre to each site; 0 at the centre."""
    place = network.nodes.yx[network.sites]
    away = place - place.mean(axis=0)
    length = np.hypot(*away.T)[:, None]
    return np.divide(away, length, out=np.zeros_like(away), where=length > 1e-9)
