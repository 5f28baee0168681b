import numpy as np
import pytest

from engine.fitted_frames import SHARES, batch_of, drawn, fitted, lattice
from stempede.columns.crystal import SHIPPED
from stempede.columns.fit import Fit
from stempede.columns.species import Species, name_species
from stempede.columns.tables import COLUMNS
from stempede.tables import Table


def rows(seed=0, error=0.05, **changes):
    i, j, species, yx = lattice((5, 4))
    rng = np.random.default_rng(seed)
    base = np.array([SHARES[s] for s in species]) * 300
    se = error * base
    intensity = base + se * rng.normal(0, 1, len(i))
    measured = {"intensity": intensity, "se_intensity": se, **changes}
    return fitted(i, j, species, yx, **measured)


def test_sites_name_the_species_even_where_two_are_equally_bright():
    table = rows(error=0.2)
    species, probability = name_species(table, SHIPPED["CsPbI3"], 0.02)
    assert (species == np.array([str(s) for s in table["species"]])).all()
    assert np.median(probability) > 0.9


def test_an_intensity_against_its_site_lowers_the_probability():
    table = rows()
    intensity = table["intensity"].copy()
    odd = int(np.flatnonzero((table["i"] == 2) & (table["j"] == 2))[0])
    intensity[odd] *= 0.35
    species, probability = name_species(
        table.with_columns({"intensity": intensity}), SHIPPED["CsPbI3"], 0.02
    )
    assert species[odd] == "Pb+X"
    assert probability[odd] < 0.5 < np.delete(probability, odd).min()


def test_thickness_does_not_change_the_species():
    table = rows()
    wedge = 1 + 0.15 * (table["i"] - 2.5)
    thick = {k: table[k] * wedge for k in ("intensity", "se_intensity")}
    _, probability = name_species(table.with_columns(thick), SHIPPED["CsPbI3"], 0.02)
    assert np.quantile(probability, 0.05) > 0.5


def test_off_lattice_intensity_decides():
    table = rows()
    extra = Table(
        COLUMNS,
        {
            "frame": [0, 0],
            "crystal": [-1, -1],
            "y_px": [250.0, 260.0],
            "x_px": [10.0, 40.0],
            "species": ["", ""],
            "state": ["CONVERGED"] * 2,
            "intensity": [300.0, 98.0],
            "se_intensity": [10.0, 5.0],
        },
    )
    species, probability = name_species(Table.concat([table, extra]), SHIPPED["CsPbI3"], 0.02)
    assert species[-2] == "Pb+X"
    assert species[-1] in ("Cs", "X")
    assert probability[-2] > 0.9
    assert probability[-1] < 0.9


@pytest.mark.parametrize("noise", ["poisson", "gaussian"])
def test_every_row_is_accepted_or_says_why_not(noise):
    i, j, species, yx = lattice()
    intensity = np.array([SHARES[s] for s in species]) * 200.0
    intensity[3] = 0
    electrons = drawn(yx, intensity, (131, 163), rng=np.random.default_rng(0))
    crystal = np.zeros(len(i), int)
    crystal[-1], i[-1], j[-1] = -1, np.nan, np.nan
    batch = batch_of(electrons, i, j, species, yx + 0.4, crystal=crystal, noise=noise)
    table = Species()(Fit()(batch)).tables["columns"]
    reason = np.array([str(r) for r in table["reject_reason"]])
    assert (table["accepted"] == (reason == "")).all()
    assert reason[-1] == "off lattice"
    assert not table["accepted"][3]
    kept = table["accepted"]
    assert np.isfinite(table["p_species"][kept]).all()
    assert ((table["p_species"][kept] > 0) & (table["p_species"][kept] <= 1)).all()


def test_no_rows_give_no_rows():
    species, probability = name_species(Table.empty(COLUMNS), SHIPPED["CsPbI3"], 0.02)
    assert len(species) == len(probability) == 0


def test_doubt_is_a_probability():
    with pytest.raises(ValueError, match="doubt lies between"):
        Species(doubt=0.0)
