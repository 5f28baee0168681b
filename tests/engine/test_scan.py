"""What the scan adds to the errors of columns: found where it is, absent where it is not."""

import numpy as np
import pytest

from column_tables import batch_of, dot
from stempede.columns.network import Network
from stempede.columns.scan import Scan, scan_variance

SHARP = (0.1, 0.2, 0.21)


def jittered(rng, jitter, se=SHARP, **options):
    columns = dot((9, 8), **options).columns(rng, se)
    shift = rng.normal(size=(2, len(columns))) * np.array(jitter)[:, None]
    return columns.with_columns(
        {"y_px": columns["y_px"] + shift[0], "x_px": columns["x_px"] + shift[1]}
    )


def test_jitter_is_found_along_its_axis_and_makes_tilts_as_uncertain_as_they_say():
    rng = np.random.default_rng(1)
    found, z, bare = [], [], []
    for _ in range(40):
        batch = batch_of(jittered(rng, (0.06, 0.22)))
        after = Scan()(batch)
        found.append([after.tables["crystals"][f"scan_{axis}_px"][0] for axis in "yx"])
        for tables, errors in ((after.tables, z), (batch.tables, bare)):
            network = Network.of(tables["columns"])
            errors.append((network.staggered_tilt_deg - 9) / network.tilt.se)
    assert np.mean(found, axis=0)[1] == pytest.approx(0.22, rel=0.06)
    assert np.mean(found, axis=0)[0] < 0.08
    assert np.std(bare) > 1.2
    assert 0.95 < np.std(z) < 1.05


def test_without_jitter_errors_stay():
    rng = np.random.default_rng(2)
    grown = 0
    for _ in range(60):
        columns = jittered(rng, (0, 0))
        grown += (scan_variance([Network.of(columns)]) > 0).sum()
    assert grown <= 7


def test_uniform_strain_tilt_and_drift_are_no_jitter():
    columns = dot((8, 7), 12.0, gamma_deg=94.0, ratio=1.1).columns(se=(0.01, 0.01, 0.01))
    np.testing.assert_array_equal(scan_variance([Network.of(columns)]), 0)


def test_inferred_columns_and_positions_stay_and_few_columns_say_nothing():
    rng = np.random.default_rng(3)
    columns = jittered(rng, (0.5, 0.5))
    state = columns["state"].copy()
    state[::7] = "INFERRED"
    batch = batch_of(columns.with_columns({"state": state}))
    after = Scan()(batch).tables["columns"]
    grown = after["se_y_px"] > columns["se_y_px"]
    assert not grown[::7].any()
    assert grown[state != "INFERRED"].all()
    np.testing.assert_array_equal(after["y_px"], columns["y_px"])
    few = jittered(rng, (0.5, 0.5)).take(np.arange(4))
    np.testing.assert_array_equal(Scan()(batch_of(few)).tables["crystals"]["scan_x_px"], 0)


def test_lines_shared_by_all_of_a_row_do_not_count():
    """Columns along x lie on the same lines: only their differences along b tell the jitter."""
    rng = np.random.default_rng(4)
    made = dot((9, 9), turned_deg=0.5, gamma_deg=90.0, ratio=1.0)
    columns = made.columns(rng, SHARP)
    lines = {key: rng.normal() * 0.3 for key in np.unique(columns["j"])}
    shared = np.array([lines[key] for key in columns["j"]])
    found = scan_variance([Network.of(columns.with_columns({"x_px": columns["x_px"] + shared}))])
    assert 0.15 < np.sqrt(found[1]) < 0.5
