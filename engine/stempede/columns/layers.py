"""Layers: from the surface to the core of every crystal, and over all crystals of a run."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, ClassVar

import numpy as np

from stempede.columns.cell import Cells, cells_forms
from stempede.columns.contrast import contrast
from stempede.columns.correlation import correlation_length, inhomogeneity
from stempede.columns.facets import facets
from stempede.columns.forms import Form
from stempede.columns.layer_means import (
    Mean,
    absolute_by_layer,
    along,
    by_layer,
    outward,
    rms_by_layer,
)
from stempede.columns.network import Network
from stempede.columns.octahedron import octahedra_forms
from stempede.columns.orientation import contrast_parts, layer_parts, oriented
from stempede.columns.pooling import pool, repeats
from stempede.columns.rings import CELL_MARGIN, layers_of, outside_frame
from stempede.columns.tables import LAYERS
from stempede.columns.tiles import tiled
from stempede.errors import RecipeError
from stempede.tables import MISSING, Table


@dataclass(frozen=True)
class Layers:
    """Number the layers of each crystal and average by layer.

    Layer 0 are the sites that lack one of eight neighbours. Means by layer are sums over
    columns with their full covariance. Core and shell are compared by generalised least squares;
    layers between them belong to neither.

    Parameters
    ----------
    shell_layers : int
        Layers 0 to this less one are the shell.
    core_from : int
        This layer and deeper ones are the core.
    """

    shell_layers: int = 1
    core_from: int = 2

    name: ClassVar[str] = "columns.layers"
    reads: ClassVar[tuple[str, ...]] = ("columns", "octahedra", "cells", "crystals", "frames")
    writes: ClassVar[tuple[str, ...]] = ("octahedra", "cells", "crystals", "layers")

    def __post_init__(self) -> None:
        if not 1 <= self.shell_layers <= self.core_from:
            raise RecipeError(
                f"shell_layers is at least 1 and core_from not below it; found "
                f"{self.shell_layers} and {self.core_from}; correct columns.layers"
            )

    def __call__(self, tables: Mapping[str, Table]) -> dict[str, Table]:
        """Return the tables this reduction writes."""
        crystals = tables["crystals"]
        octahedra_layer = np.full(len(tables["octahedra"]), MISSING)
        cells_layer = np.full(len(tables["cells"]), MISSING)
        found: dict[str, np.ndarray] = {}
        rows: list[dict[str, Any]] = []
        rows_of = {
            name: _rows_by_crystal(tables[name]) for name in ("columns", "octahedra", "cells")
        }
        frames = _frame_facts(tables["frames"])
        for k in range(len(crystals)):
            key = (int(crystals["frame"][k]), int(crystals["crystal"][k]))
            own = {name: by_key.get(key, _NONE) for name, by_key in rows_of.items()}
            facts = frames.get(key[0], _UNKNOWN)
            dot = _Dot.of(tables, own, facts, _vectors(crystals, k))
            if dot is None:
                continue
            octahedra_layer[own["octahedra"]] = dot.layer_at(tables["octahedra"], own["octahedra"])
            cells_layer[own["cells"]] = dot.cell_layers(tables["cells"], own["cells"], facts)
            core, shell = self._groups(dot)
            seed = facts.image, key[1]
            for name, value in _crystal_numbers(dot, core, shell, seed=seed).items():
                column = found.setdefault(name, np.array(crystals[name], dtype=np.float64))
                column[k] = value
            about = {"frame": key[0], "crystal": key[1], "sample": facts.sample}
            about["view"] = str(crystals["view"][k])
            rows += [{**about, **row} for row in _layer_rows(dot, core, shell, facts)]
        single = Table.from_rows(LAYERS, rows)
        pooled = pool(single, repeats(tables["frames"], crystals))
        return {
            "octahedra": tables["octahedra"].with_columns({"layer": octahedra_layer}),
            "cells": tables["cells"].with_columns({"layer": cells_layer}),
            "crystals": crystals.with_columns(found),
            "layers": Table.concat([single, pooled]),
        }

    def _groups(self, dot: _Dot) -> tuple[np.ndarray, np.ndarray]:
        shell = (dot.layer >= 0) & (dot.layer < self.shell_layers)
        return dot.layer >= self.core_from, shell


_NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class _Facts:
    """What the frames table says of a frame.

    ``image`` stands for its file and page: its number depends on the order in which files came.
    """

    image: int
    sample: str
    shape: tuple[int, int]
    pixel_size_yx_nm: tuple[float, float]

    @property
    def pixel_size_nm(self) -> float:
        """Geometric mean, NaN without calibration."""
        return float(np.sqrt(self.pixel_size_yx_nm[0] * self.pixel_size_yx_nm[1]))


_UNKNOWN = _Facts(0, "", (1 << 30, 1 << 30), (np.nan, np.nan))


def _frame_facts(frames: Table) -> dict[int, _Facts]:
    names = ("frame", "source", "page", "sample")
    sizes = ("height_px", "width_px", "pixel_size_y_nm", "pixel_size_x_nm")
    rows = zip(*(frames[n].tolist() for n in (*names, *sizes)), strict=True)
    return {
        frame: _Facts(_image(source, page), sample, (h, w), (y, x))
        for frame, source, page, sample, h, w, y, x in rows
    }


def _image(source: str, page: int) -> int:
    return zlib.crc32(f"{PurePosixPath(source).name} {page}".encode())


def _rows_by_crystal(table: Table) -> dict[tuple[int, int], np.ndarray]:
    """Return row numbers by (frame, crystal)."""
    frame, crystal = table["frame"], table["crystal"]
    order = np.lexsort((crystal, frame))
    if not len(order):
        return {}
    step = (np.diff(frame[order]) != 0) | (np.diff(crystal[order]) != 0)
    parts = np.split(order, np.flatnonzero(step) + 1)
    return {(int(frame[p[0]]), int(crystal[p[0]])): np.sort(p) for p in parts}


def _vectors(crystals: Table, row: int) -> np.ndarray:
    """Return (y, x) of a and b of one crystal."""
    return np.array([[crystals[f"{v}_{c}_px"][row] for c in "yx"] for v in "ab"])


@dataclass(frozen=True)
class _Dot:
    """One crystal: its network, layers, and the staggered tilt in the phase of its main domain."""

    network: Network
    layer: np.ndarray
    staggered: Form

    @classmethod
    def of(
        cls,
        tables: Mapping[str, Table],
        own: Mapping[str, np.ndarray],
        facts: _Facts,
        vectors_yx_px: np.ndarray,
    ) -> _Dot | None:
        """Return the crystal; None where it has no octahedron."""
        network = Network.of(
            tables["columns"],
            own["columns"],
            pixel_size_yx_nm=facts.pixel_size_yx_nm,
            vectors_yx_px=vectors_yx_px,
        )
        if not len(network):
            return None
        place = network.nodes.yx[network.sites] / network.scale_yx
        dark = outside_frame(network.i, network.j, place, facts.shape)
        layer = layers_of(network.i, network.j, dark)
        sign = _domain_signs(network, tables["octahedra"], own["octahedra"])
        return cls(network, layer, network.staggered.times(sign))

    def layer_at(self, octahedra: Table, rows: np.ndarray) -> np.ndarray:
        """Return the layer of rows of the octahedra table."""
        site = self.network.find(octahedra["i"][rows], octahedra["j"][rows])
        return np.where(site >= 0, self.layer[site], MISSING)

    def cell_layers(self, cells: Table, rows: np.ndarray, facts: _Facts) -> np.ndarray:
        """Return the layer of rows of the cells table: steps to a cell that lacks a neighbour."""
        i, j = cells["i"][rows], cells["j"][rows]
        place = np.column_stack([cells["y_px"][rows], cells["x_px"][rows]])
        if not np.isfinite(place).all():
            return np.full(len(rows), MISSING)
        return layers_of(i, j, _outside_cells(i, j, place, facts.shape))


def _outside_cells(
    i: np.ndarray, j: np.ndarray, centres: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Return the places of cells that the frame does not show whole."""
    return outside_frame(i, j, centres, shape, margin_cells=CELL_MARGIN)


def _domain_signs(network: Network, octahedra: Table, rows: np.ndarray) -> np.ndarray:
    """Return (s,) sign that turns each antiphase domain into the phase of the first."""
    site = network.find(octahedra["i"][rows], octahedra["j"][rows])
    label = np.zeros(len(network), dtype=np.int64)
    label[site[site >= 0]] = np.maximum(octahedra["domain"][rows][site >= 0], 0)
    tilt = network.staggered_tilt_deg
    sign = np.ones(len(network))
    known = np.isfinite(tilt)
    if not (label > 0).any() or not (known & (label == 0)).any():
        return sign
    first = np.sign(tilt[known & (label == 0)].mean())
    for number in np.unique(label[label > 0]).tolist():
        part = known & (label == number)
        if part.any():
            sign[label == number] = first * np.sign(tilt[part].mean())
    return sign


def _crystal_numbers(
    dot: _Dot, core: np.ndarray, shell: np.ndarray, seed: tuple[int, int]
) -> dict[str, float]:
    """Return the fields of the crystals table that this reduction fills."""
    network = dot.network
    sites = tiled(dot.staggered, network.i, network.j, core, shell)
    compared = contrast(sites.value, sites.covariance, sites.core, sites.shell, seed=seed)
    side = facets(dot.staggered, network.i, network.j, dot.layer)
    numbers = {
        "core_minus_shell_deg": compared.difference,
        "se_core_minus_shell_deg": compared.se,
        "p_core_shell": compared.p,
        "tilt_anisotropy": side.anisotropy,
        "inhomogeneity_deg": inhomogeneity(sites.value, sites.covariance),
        "correlation_length_cells": correlation_length(sites.value, sites.covariance, sites.ij),
    }
    for name, where in (("staggered", None), ("core", core), ("shell", shell)):
        mean, se = dot.staggered.mean(where)
        numbers |= {f"{name}_tilt_deg": mean, f"se_{name}_tilt_deg": se}
    for name, value in side.mean.items():
        numbers |= {f"facet_{name}_tilt_deg": value, f"se_facet_{name}_tilt_deg": side.se[name]}
    return numbers


def _layer_rows(
    dot: _Dot, core: np.ndarray, shell: np.ndarray, facts: _Facts
) -> list[dict[str, Any]]:
    """Return the rows of one crystal."""
    network, layer = dot.network, dot.layer
    forms = octahedra_forms(network)
    shift = forms["offcentre_y_px"], forms["offcentre_x_px"]
    found = [
        *by_layer("staggered_tilt_deg", dot.staggered, layer),
        *absolute_by_layer("abs_tilt_deg", dot.staggered, layer),
        *by_layer("turn_deg", forms["turn_deg"], layer),
        *_oriented(dot, core, shell),
    ]
    cells = Cells.of(network)
    edges = cells_forms(cells, None)
    i, j = cells.ij2[:, 0] / 2, cells.ij2[:, 1] / 2
    cell_layer = layers_of(i, j, _outside_cells(i, j, cells.centre_yx_px, facts.shape))
    unit, nm = ("nm", facts.pixel_size_nm) if np.isfinite(facts.pixel_size_nm) else ("px", 1.0)
    found += [
        *by_layer(f"a_{unit}", edges["a_px"].times(nm), cell_layer),
        *by_layer(f"b_{unit}", edges["b_px"].times(nm), cell_layer),
        *by_layer("gamma_deg", edges["gamma_deg"], cell_layer),
        *by_layer(f"offcentre_outward_{unit}", along(shift, outward(network)).times(nm), layer),
        *rms_by_layer(f"offcentre_{unit}", (shift[0].times(nm), shift[1].times(nm)), layer),
    ]
    return [
        {
            "layer": m.layer,
            "quantity": m.quantity,
            "n_sites": m.n_sites,
            "n_crystals": 1,
            "mean": m.mean,
            "se": m.se,
        }
        for m in found
    ]


def _oriented(dot: _Dot, core: np.ndarray, shell: np.ndarray) -> list[Mean]:
    """Return values with the sign of a core that does not share their errors, where known."""
    form = dot.staggered
    known = np.isfinite(form.value)
    i = dot.network.i
    half = i <= np.median(i)
    found = []
    for n in np.unique(dot.layer[known & (dot.layer >= 0)]).tolist():
        where = known & (dot.layer == n)
        value, se = oriented(form, layer_parts(where, core & known, half), core)
        found.append(Mean("oriented_tilt_deg", n, int(where.sum()), value, se))
    parts = contrast_parts(core & known, shell & known, half)
    if parts:
        value, se = oriented(form, parts, core)
        n_sites = int((known & (core | shell)).sum())
        found.append(Mean("oriented_core_minus_shell_deg", None, n_sites, value, se))
    return [m for m in found if np.isfinite(m.mean)]
