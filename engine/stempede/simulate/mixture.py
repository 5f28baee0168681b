"""Mixed populations: groups of known shape and size, and the presets that ship.

A mixture is a TOML file: ``[frame]`` with fields of ``Population``, and a ``[[group]]`` for
each group with fields of ``Group``. The presets lie in ``simulate/mixtures``.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from stempede.errors import InputError
from stempede.simulate.population import Drawn, Population

_SYMMETRIES = range(1, 7)
# shape exponents outside are needles or squares to the last pixel
_P_RANGE = (0.25, 40.0)


@dataclass(frozen=True)
class Group:
    """Particles of one shape.

    Parameters
    ----------
    name : str
        Stands as ``shape`` in the truth table.
    share : float
        Of the particles; shares need not add to 1.
    p, l_ratio : float
        Medians of the superellipse exponent and elongation.
    d : int
        Symmetry, 1 to 6.
    size_nm, relative_sd : float
        Mean of the equivalent diameter and its standard deviation over that mean; log-normal.
    p_spread, l_spread : float
        Standard deviations of log p and log l_ratio; an elongation below 1 is reflected.
    """

    name: str
    share: float = 1.0
    p: float = 2.0
    d: int = 2
    l_ratio: float = 1.0
    size_nm: float = 12.0
    relative_sd: float = 0.12
    p_spread: float = 0.05
    l_spread: float = 0.02

    def __post_init__(self) -> None:
        checks = (
            (not self.share > 0, "share must be above 0"),
            (not _P_RANGE[0] <= self.p <= _P_RANGE[1], "p must be in 0.25 ... 40"),
            (self.d not in _SYMMETRIES, "d is 1 to 6"),
            (not 1 <= self.l_ratio <= 8, "l_ratio must be in 1 ... 8"),
            (not self.size_nm > 0, "size_nm must be above 0"),
            (not 0 <= self.relative_sd <= 0.6, "relative_sd must be in 0 ... 0.6"),
            (not 0 <= self.p_spread <= 1, "p_spread must be in 0 ... 1"),
            (not 0 <= self.l_spread <= 1, "l_spread must be in 0 ... 1"),
        )
        mistakes = [text for wrong, text in checks if wrong]
        if mistakes:
            raise InputError(f"group '{self.name}' of the mixture: " + "; ".join(mistakes))


@dataclass(frozen=True)
class Mixture(Population):
    """Micrographs of several groups; ``group`` of the truth table says which is which.

    ``mean_size_nm`` and ``relative_sd`` follow from the groups; ``shapes`` and ``size_law`` of a
    plain population are not used.

    Parameters
    ----------
    groups : tuple of Group
        At least one.
    """

    groups: tuple[Group, ...] = ()

    # of all groups together
    most_relative_sd: ClassVar[float] = 3.0

    def __post_init__(self) -> None:
        if not self.groups:
            raise InputError("a mixture wants one [[group]] or more; found none; add one")
        mean, spread = self.moments
        object.__setattr__(self, "mean_size_nm", mean)
        object.__setattr__(self, "relative_sd", spread / mean)
        super().__post_init__()

    @property
    def shares(self) -> np.ndarray:
        """Share of each group, (k,), adding to 1."""
        share = np.array([g.share for g in self.groups])
        return share / share.sum()

    @property
    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation of the equivalent diameter over all groups, nm."""
        mean = np.array([g.size_nm for g in self.groups])
        square = mean**2 * (1 + np.array([g.relative_sd for g in self.groups]) ** 2)
        whole = float(self.shares @ mean)
        return whole, float(np.sqrt(self.shares @ square - whole**2))

    @property
    def reach_px(self) -> float:
        """How far from its border a frame's particles are drawn: no body is larger."""
        return max(g.size_nm * (1 + 6 * g.relative_sd) for g in self.groups) / self.pixel_size_nm

    def draw(self, n: int, rng: np.random.Generator) -> Drawn:
        """Draw the n bodies of one frame from the frame's generator."""
        group = rng.choice(len(self.groups), size=n, p=self.shares)
        frame_effect = np.sqrt(self.icc) * rng.standard_normal()
        z = rng.standard_normal((n, 3))
        z[:, 0] = frame_effect + np.sqrt(1 - self.icc) * z[:, 0]
        parameters, sizes_nm = draw_members(self.groups, group, z)
        return Drawn(np.array([g.name for g in self.groups])[group], parameters, sizes_nm, group)


def draw_members(
    groups: Sequence[Group], group: np.ndarray, z: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Turn normal numbers into shapes and sizes.

    Parameters
    ----------
    groups : sequence of Group
    group : (n,) int64 array
        Group of each particle.
    z : (n, 3) float64 array
        Standard normal numbers: of log size, log p, log l_ratio.

    Returns
    -------
    parameters : (n, 3) float64 array
        ``p d l_ratio``.
    sizes_nm : (n,) float64 array
        Equivalent diameters.
    """
    columns = {
        f.name: np.array([getattr(g, f.name) for g in groups])[group]
        for f in dataclasses.fields(Group)
        if f.name not in ("name", "share")
    }
    s2 = np.log1p(columns["relative_sd"] ** 2)
    sizes_nm = columns["size_nm"] * np.exp(np.sqrt(s2) * z[:, 0] - 0.5 * s2)
    p = np.clip(columns["p"] * np.exp(columns["p_spread"] * z[:, 1]), *_P_RANGE)
    l_ratio = np.exp(np.abs(np.log(columns["l_ratio"]) + columns["l_spread"] * z[:, 2]))
    return np.stack([p, columns["d"], l_ratio], axis=1), sizes_nm


def presets() -> tuple[str, ...]:
    """Return the names of the mixtures that ship."""
    folder = resources.files("stempede.simulate") / "mixtures"
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir()))


def load_mixture(source: str | Path, frame: Mapping[str, Any] | None = None) -> Mixture:
    """Read a mixture: the name of one that ships, or a TOML file.

    Parameters
    ----------
    source : str or Path
    frame : mapping, optional
        Fields of ``Population`` that stand over those of the file.

    Raises
    ------
    InputError
        There is no such mixture, or the file has mistakes.
    """
    if str(source) in presets():
        shipped = resources.files("stempede.simulate") / "mixtures" / f"{source}.toml"
        return _read(shipped.read_text(encoding="utf-8"), str(source), frame or {})
    try:
        text = Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"a mixture is {', '.join(presets())} or a TOML file; cannot read '{source}' ({error})"
        ) from error
    return _read(text, str(source), frame or {})


def _read(text: str, source: str, frame: Mapping[str, Any]) -> Mixture:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"mixture '{source}' is not TOML: {error}") from error
    unknown = sorted(set(content) - {"frame", "group"})
    if unknown:
        raise InputError(
            f"mixture '{source}' wants [frame] and [[group]]; found {', '.join(unknown)}"
        )
    derived = {"groups", "mean_size_nm", "relative_sd", "shapes", "size_law"}
    known = {f.name for f in dataclasses.fields(Mixture)} - derived
    given = {**_table(content.get("frame", {}), source), **frame}
    _refuse_unknown(given, known, f"[frame] of mixture '{source}'")
    found = content.get("group", [])
    rows = found if isinstance(found, list) else [found]
    groups = tuple(_group(_table(row, source), source, k) for k, row in enumerate(rows))
    return Mixture(**given, groups=groups)


def _table(value: Any, source: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"mixture '{source}' wants [frame] and [[group]] as tables")
    return value


def _group(row: dict[str, Any], source: str, k: int) -> Group:
    known = {f.name for f in dataclasses.fields(Group)}
    _refuse_unknown(row, known, f"[[group]] {k + 1} of mixture '{source}'")
    numbers = {name: value for name, value in row.items() if name != "name"}
    wrong = [k for k, v in numbers.items() if isinstance(v, bool) or not isinstance(v, int | float)]
    if wrong:
        raise InputError(f"[[group]] {k + 1} of mixture '{source}' wants numbers: {wrong}")
    return Group(str(row.get("name", f"group {k + 1}")), **numbers)


def _refuse_unknown(given: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise InputError(
            f"{where} has no field {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )
