"""Octahedra: one row per Pb site, with tilt, bonds, angles, elongation and antiphase domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stempede.columns.domains import Domains, find_domains
from stempede.columns.ellipses import Elongation, elongations, rms
from stempede.columns.forms import Form
from stempede.columns.network import UNKNOWN, Network
from stempede.columns.octahedron import distortions, octahedra_forms
from stempede.columns.tables import OCTAHEDRA
from stempede.columns.view import view_of
from stempede.frames import Batch
from stempede.tables import Table

_PM = 1000.0


@dataclass(frozen=True)
class Octahedra:
    """Measure the octahedra of every crystal: the ``octahedra`` table.

    Angles are those of the specimen where the frame's calibration tells different pixel sizes
    along y and x, in array sense: +x turns towards +y. The crystals get their number of
    octahedra with a tilt, the mean staggered tilt and the view.

    Parameters
    ----------
    level : float
        Chance, at most, that a crystal of one antiphase domain is given a wall.
    least_domain : int
        Sites of the smallest antiphase domain.
    view_sigma : float
        Errors by which a tilt or an elongation must stand out to name a crystal's view.
    view_tilt_deg : float
        Smallest angle that names a view.
    """

    level: float = 0.005
    least_domain: int = 4
    view_sigma: float = 3.0
    view_tilt_deg: float = 0.5

    name: ClassVar[str] = "columns.octahedra"
    reads: ClassVar[tuple[str, ...]] = ("columns", "crystals")
    writes: ClassVar[tuple[str, ...]] = ("octahedra", "crystals")

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with ``octahedra``, in order of frame, crystal, i, j."""
        columns, crystals = batch.tables["columns"], batch.tables["crystals"]
        tables = []
        fields = {name: crystals[name].copy() for name in _UPDATED}
        for record, size in zip(batch.records, batch.pixel_size_nm):
            rows = np.flatnonzero(crystals["frame"] == record.frame)
            networks = crystal_networks(columns, crystals, rows, size)
            nm = float(np.sqrt(size.prod()))
            for row, network, drawn in zip(rows, networks, elongations(columns, networks)):
                domains = find_domains(network, level=self.level, least=self.least_domain)
                table, mean = self._measure(columns, network, domains, drawn, nm)
                key = {name: np.full(len(network), crystals[name][row]) for name in _KEY}
                tables.append(Table(OCTAHEDRA, {**key, **table}))
                for name, value in mean.items():
                    fields[name][row] = value
        octahedra = Table.concat(tables) if tables else Table.empty(OCTAHEDRA)
        return batch.with_(
            tables={"octahedra": octahedra, "crystals": crystals.with_columns(fields)}
        )

    def _measure(
        self, columns: Table, network: Network, domains: Domains, drawn: Elongation, nm: float
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the fields of one crystal's octahedra, and those of the crystal."""
        forms = octahedra_forms(network, domains.sense(network))
        tilt, se_tilt = forms["staggered_tilt_deg"].times(domains.alignment()).mean()
        bond = forms["bond_mean_px"].mean()[0]
        view = view_of(
            (tilt, se_tilt),
            (drawn.mean, drawn.se_mean),
            bond,
            least_sigma=self.view_sigma,
            least_tilt_deg=self.view_tilt_deg,
        )
        x, se_x = rms(drawn.x, drawn.se_x)
        b, se_b = rms(drawn.b, drawn.se_b)
        site_rows = network.rows[network.sites]
        known = np.isfinite(network.tilt_deg)
        table = {
            "i": network.i,
            "j": network.j,
            "pb_y_px": columns["y_px"][site_rows],
            "pb_x_px": columns["x_px"][site_rows],
            "n_x": network.n_x,
            "complete": network.n_x == 4,
            "domain": domains.label,
            **with_errors({name: forms[name] for name in _PLAIN}),
            **with_errors({"bond_mean_nm": forms["bond_mean_px"].times(nm)}),
            **distortions(network),
            "x_elongation_pm": x * nm * _PM,
            "se_x_elongation_pm": se_x * nm * _PM,
            "pbx_elongation_pm": b * nm * _PM,
            "se_pbx_elongation_pm": se_b * nm * _PM,
            "pbx_elongation_angle_deg": drawn.b_angle_deg,
        }
        table = {name: table[name] for name in OCTAHEDRA.names if name in table}
        crystal = {
            "n_octahedra": int(known.sum()),
            "view": view,
            "staggered_tilt_deg": tilt,
            "se_staggered_tilt_deg": se_tilt,
            "pbx_elongation_angle_deg": drawn.b_mean_angle_deg,
        }
        for part, square, se in (
            ("x", drawn.mean, drawn.se_mean),
            ("pbx", drawn.b_mean, drawn.se_b_mean),
        ):
            value, error = rms(np.asarray(square), np.asarray(se))
            crystal[f"{part}_elongation_pm"] = float(value) * nm * _PM
            crystal[f"se_{part}_elongation_pm"] = float(error) * nm * _PM
        return table, crystal


_KEY = ("frame", "crystal")
_UPDATED = (
    "n_octahedra",
    "view",
    "staggered_tilt_deg",
    "se_staggered_tilt_deg",
    "x_elongation_pm",
    "se_x_elongation_pm",
    "pbx_elongation_pm",
    "se_pbx_elongation_pm",
    "pbx_elongation_angle_deg",
)
_PLAIN = (
    "tilt_deg",
    "staggered_tilt_deg",
    "turn_deg",
    "pb_x_pb_deg",
    "offcentre_y_px",
    "offcentre_x_px",
)


def crystal_networks(
    columns: Table, crystals: Table, rows: np.ndarray, pixel_size_yx_nm: np.ndarray
) -> list[Network]:
    """Return the network of each of some rows of ``crystals``, all of one frame."""
    networks = []
    for row in rows:
        own = columns["frame"] == crystals["frame"][row]
        own &= columns["crystal"] == crystals["crystal"][row]
        vectors = np.array([[crystals[f"{v}_{c}_px"][row] for c in "yx"] for v in "ab"])
        networks.append(
            Network.of(
                columns,
                own,
                pixel_size_yx_nm=pixel_size_yx_nm,
                vectors_yx_px=vectors if np.isfinite(vectors).all() else UNKNOWN,
            )
        )
    return networks


def with_errors(forms: Mapping[str, Form]) -> dict[str, np.ndarray]:
    """Return value and standard error of each form, as fields of a table."""
    fields = {name: form.value for name, form in forms.items()}
    return fields | {f"se_{name}": form.se for name, form in forms.items()}
