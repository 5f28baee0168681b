from dataclasses import replace

import numpy as np
import pytest

from engine.fitted_frames import SHARES, batch_of, drawn, lattice
from stempede.columns.fit import Fit
from stempede.tables import Table

SHAPE = (131, 163)


def crystal(dose, seed=0, **kwargs):
    i, j, species, yx = lattice()
    intensity = np.array([SHARES[s] for s in species]) * dose
    rng = np.random.default_rng(seed)
    electrons = drawn(yx, intensity, SHAPE, rng=rng)
    starts = yx + rng.normal(0, 0.7, yx.shape)
    return batch_of(electrons, i, j, species, starts, **kwargs), yx, intensity


def fitted(batch, **parameters):
    return Fit(**parameters)(batch).tables["columns"]


def places(table):
    return np.column_stack([table["y_px"], table["x_px"]])


def errors(table):
    return np.column_stack([table["se_y_px"], table["se_x_px"]])


def words(values):
    return np.array([str(v) for v in values])


def test_noise_free_columns_are_found_to_a_thousandth():
    i, j, species, yx = lattice()
    intensity = np.array([SHARES[s] for s in species]) * 900.0
    electrons = drawn(yx, intensity, SHAPE, level=0.1)
    starts = yx + np.random.default_rng(1).normal(0, 0.7, yx.shape)
    table = fitted(batch_of(electrons, i, j, species, starts), scan_lines=False)
    # a window that cuts a Gaussian at 3.3 widths and a width kept from the noise's own
    assert np.abs(places(table) - yx).max() < 3e-3
    assert table["intensity"] == pytest.approx(intensity, rel=0.02)
    assert table["sigma_major_px"] == pytest.approx(2.4, rel=0.01)


@pytest.mark.parametrize("dose", [40, 400])
def test_errors_are_true(dose):
    off = []
    for seed in range(6):
        batch, yx, _ = crystal(dose, seed)
        table = fitted(batch, scan_lines=False)
        seen = words(table["state"]) == "CONVERGED"
        off.append(((places(table) - yx) / errors(table))[seen])
        assert seen.mean() > 0.9
    off = np.concatenate(off)
    assert abs(off.mean()) < 0.2
    assert 0.88 < off.std() < 1.15


def test_intensities_and_their_errors_are_true():
    off = []
    for seed in range(6):
        batch, _, intensity = crystal(200, seed)
        table = fitted(batch)
        off.append((table["intensity"] - intensity) / table["se_intensity"])
    off = np.concatenate(off)
    assert abs(off.mean()) < 0.35
    assert 0.85 < off.std() < 1.2


def test_positions_fitted_to_noise_take_no_light_from_the_ground():
    light, level, width = [], [], []
    for seed in range(12):
        i, j, species, yx = lattice()
        intensity = np.array([SHARES[s] for s in species]) * 28.0
        electrons = drawn(yx, intensity, SHAPE, level=8e-3, rng=np.random.default_rng(seed))
        table = fitted(batch_of(electrons, i, j, species, yx + 0.3), scan_lines=False)
        light.append(table["intensity"].sum() / intensity.sum())
        level.append(table["offset"].mean() / 8e-3)
        width.append([table["sigma_major_px"][species == name].mean() / 2.4 for name in SHARES])
    # 6,000 electrons of columns and 2,000 of the ground between them
    assert np.mean(light) == pytest.approx(1, abs=0.06)
    assert np.mean(level) == pytest.approx(1, abs=0.25)
    assert np.mean(width) == pytest.approx(1, abs=0.05)


def test_transposed_frames_give_transposed_columns():
    batch, _, _ = crystal(200)
    columns = batch.tables["columns"]
    turned = columns.with_columns({"y_px": columns["x_px"], "x_px": columns["y_px"]})
    other = replace(
        batch,
        images=batch.images.transpose(0, 2, 1).copy(),
        maps={k: v.transpose(0, 2, 1).copy() for k, v in batch.maps.items()},
        tables={**batch.tables, "columns": turned},
    )
    one = fitted(batch, scan_lines=False)
    two = fitted(other, scan_lines=False)
    assert places(two)[:, ::-1] == pytest.approx(places(one), abs=0.01)
    assert two["intensity"] == pytest.approx(one["intensity"], rel=0.01)


def test_order_of_rows_does_not_matter():
    batch, _, _ = crystal(200)
    order = np.random.default_rng(3).permutation(len(batch.tables["columns"]))
    shuffled = batch.with_(tables={"columns": batch.tables["columns"].take(order)})
    one, two = fitted(batch), fitted(shuffled)
    assert places(two) == pytest.approx(places(one)[order], abs=0.01)


def test_a_lost_start_is_found_again():
    batch, yx, _ = crystal(150)
    columns = batch.tables["columns"]
    x = columns["x_px"].copy()
    lost = int(np.flatnonzero(words(columns["species"]) == "X")[5])
    x[lost] += 9.0
    table = fitted(batch.with_(tables={"columns": columns.with_columns({"x_px": x})}))
    assert np.hypot(*(places(table)[lost] - yx[lost])) < 4 * errors(table)[lost].max()


def test_a_vacancy_is_an_empty_site():
    i, j, species, yx = lattice()
    intensity = np.array([SHARES[s] for s in species]) * 600.0
    hole = int(np.flatnonzero((species == "X") & (i == 1.5) & (j == 1))[0])
    intensity[hole] = 0
    electrons = drawn(yx, intensity, SHAPE, rng=np.random.default_rng(2))
    table = fitted(batch_of(electrons, i, j, species, yx + 0.5))
    assert not table["accepted"][hole]
    assert str(table["reject_reason"][hole]) == "empty site"
    assert np.delete(table["accepted"], hole).all()


def test_what_is_not_seen_is_inferred_with_a_larger_error():
    i, j, species, yx = lattice()
    intensity = np.array([SHARES[s] for s in species]) * 40.0
    faint = int(np.flatnonzero((species == "X") & (i == 1.5) & (j == 1))[0])
    intensity[faint] = 2.0
    electrons = drawn(yx, intensity, SHAPE, rng=np.random.default_rng(5))
    table = fitted(batch_of(electrons, i, j, species, yx + 0.3), least=4.0)
    assert str(table["state"][faint]) == "INFERRED"
    others = (words(table["state"]) == "CONVERGED") & (species == "X")
    assert errors(table)[faint].min() > 0.95 * np.median(errors(table)[others])
    assert np.hypot(*(places(table)[faint] - yx[faint])) < 3


def test_widths_are_own_where_columns_hold_electrons_enough():
    batch, _, _ = crystal(400)
    table = fitted(batch)
    sigma = table["sigma_major_px"]
    # shared widths are equal to the last digit
    assert len(np.unique(sigma[words(table["species"]) == "Pb+X"])) > 6
    shared = fitted(batch, shape="shared")["sigma_major_px"]
    assert len(np.unique(shared)) <= 3


def test_vectors_follow_the_columns():
    batch, yx, _ = crystal(400)
    crystals = Fit()(batch).tables["crystals"]
    i, j = batch.tables["columns"]["i"], batch.tables["columns"]["j"]
    centre = words(batch.tables["columns"]["species"]) == "Pb+X"
    design = np.column_stack([np.ones(centre.sum()), i[centre], j[centre]])
    true = np.linalg.lstsq(design, yx[centre], rcond=None)[0]
    assert crystals["a_x_px"][0] == pytest.approx(true[1, 1], abs=0.1)
    assert crystals["b_y_px"][0] == pytest.approx(true[2, 0], abs=0.1)
    assert crystals["n_columns"][0] == len(yx)


def test_zero_zero_is_the_centre_nearest_the_centroid():
    batch, _, _ = crystal(400)
    out = Fit()(batch).tables
    table = out["columns"]
    centre = words(table["species"]) == "Pb+X"
    away = np.hypot(*(places(table) - places(table).mean(axis=0)).T)
    nearest = np.flatnonzero(centre)[np.argmin(away[centre])]
    assert (table["i"][nearest], table["j"][nearest]) == (0, 0)


@pytest.mark.parametrize(("noise", "read"), [("gaussian", 0.0), ("poisson-gaussian", 0.25)])
def test_other_noise_has_true_errors_too(noise, read):
    off = []
    for seed in range(4):
        i, j, species, yx = lattice()
        intensity = np.array([SHARES[s] for s in species]) * 150.0
        rng = np.random.default_rng(seed)
        spread = 0.4 if noise == "gaussian" else read
        electrons = drawn(yx, intensity, SHAPE, rng=None if noise == "gaussian" else rng)
        electrons = electrons + rng.normal(0, spread, SHAPE)
        batch = batch_of(electrons, i, j, species, yx + 0.4, noise=noise, read=read)
        table = fitted(batch, scan_lines=False)
        seen = words(table["state"]) == "CONVERGED"
        off.append(((places(table) - yx) / errors(table))[seen])
    off = np.concatenate(off)
    assert 0.85 < off.std() < 1.2


def test_frames_do_not_depend_on_their_batch():
    batch, _, _ = crystal(100)
    alone = fitted(batch)
    columns = batch.tables["columns"]
    other = columns.with_columns({"frame": np.full(len(columns), 8)})
    double = replace(
        batch,
        images=np.concatenate([batch.images, batch.images[:, ::-1]]),
        records=(*batch.records, replace(batch.records[0], frame=8)),
        maps={k: np.concatenate([v, v[:, ::-1]]) for k, v in batch.maps.items()},
        tables={
            "columns": Table.concat([columns, other]),
            "crystals": batch.tables["crystals"],
            "frames": Table.concat([batch.tables["frames"]] * 2),
        },
    )
    both = fitted(double)
    both = both.take(both["frame"] == 7)
    assert np.array_equal(places(both), places(alone))


def test_zeros_everywhere_are_not_fitted():
    i, j, species, yx = lattice()
    table = fitted(batch_of(np.zeros(SHAPE), i, j, species, yx))
    assert set(words(table["state"])) == {"NOT_RUN"}
    assert not table["accepted"].any()


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_few_columns_raise_nothing(rows):
    i, j, species, yx = lattice()
    electrons = drawn(yx[:1], [300.0], (60, 70), rng=np.random.default_rng(0))
    batch = batch_of(electrons, i[:rows], j[:rows], species[:rows], yx[:rows] + 0.5)
    table = fitted(batch)
    assert len(table) == rows
    if rows:
        assert np.hypot(*(places(table)[0] - yx[0])) < 1
        assert str(table["state"][0]) == "CONVERGED"


def test_columns_cut_by_the_rim_are_fitted():
    i, j, species, yx = lattice(origin=(1.0, 2.0), tilt_px=0.0)
    intensity = np.array([SHARES[s] for s in species]) * 600.0
    electrons = drawn(yx, intensity, (90, 110), rng=np.random.default_rng(4))
    table = fitted(batch_of(electrons, i, j, species, yx + 0.3))
    assert np.isfinite(places(table)).all()
    assert np.hypot(*(places(table) - yx).T).max() < 1.0


def test_pixels_that_are_not_valid_are_not_read():
    batch, yx, _ = crystal(400)
    electrons, valid = batch.maps["electrons"].copy(), batch.maps["valid"].copy()
    electrons[0, 60:66], valid[0, 60:66] = 1e4, False
    table = fitted(replace(batch, maps={"electrons": electrons, "valid": valid}))
    clear = np.abs(yx[:, 0] - 62.5) > 12
    assert np.hypot(*(places(table) - yx).T)[clear].max() < 1


def test_wrong_parameters_are_named():
    with pytest.raises(ValueError, match="shape is auto, free, shared"):
        Fit(shape="round")
    with pytest.raises(ValueError, match="window is at least"):
        Fit(window=0.5)


def test_a_frame_in_tiles_has_the_errors_of_the_whole(monkeypatch):
    batch, _, _ = crystal(300)
    whole = fitted(batch, scan_lines=False)
    monkeypatch.setattr("stempede.columns.normal._DENSE", 10)
    monkeypatch.setattr("stempede.columns.normal._TILE", 9)
    tiles = fitted(batch, scan_lines=False)
    assert errors(tiles) == pytest.approx(errors(whole), rel=2e-3)
    assert tiles["se_intensity"] == pytest.approx(whole["se_intensity"], rel=0.05)


def test_pixels_of_fewer_scans_hold_fewer_electrons():
    i, j, species, yx = lattice()
    intensity = np.array([SHARES[s] for s in species]) * 900.0
    exposure = np.full(SHAPE, 20.0)
    exposure[:, :62] = 8.0
    electrons = drawn(yx, intensity, SHAPE, level=0.1) * exposure / 20
    batch = batch_of(electrons, i, j, species, yx + 0.4)
    batch = batch.with_(maps={"exposure": exposure[None].astype(np.float32)})
    table = fitted(batch, scan_lines=False)
    assert np.abs(places(table) - yx).max() < 0.02
    assert table["intensity"] == pytest.approx(intensity, rel=0.03)


def test_rows_that_cannot_be_fitted_say_why():
    batch, yx, _ = crystal(300)
    columns = batch.tables["columns"]
    y, x = columns["y_px"].copy(), columns["x_px"].copy()
    y[4], y[9], x[9] = np.nan, y[8], x[8] + 0.5
    table = fitted(batch.with_(tables={"columns": columns.with_columns({"y_px": y, "x_px": x})}))
    reason = words(table["reject_reason"])
    assert reason[4] == "no start"
    assert reason[9] == "on another column"
    rest = np.delete(np.arange(len(yx)), [4, 8, 9])
    assert table["accepted"][rest].all()
    assert np.array_equal(table["column"], columns["column"])


def test_noise_alone_is_not_seen():
    i, j, species, yx = lattice()
    electrons = np.random.default_rng(0).poisson(0.02, SHAPE)
    table = fitted(batch_of(electrons, i, j, species, yx))
    assert (words(table["state"]) == "CONVERGED").mean() < 0.1


def test_a_column_in_the_light_of_others_is_not_measured():
    i, j, species, yx = lattice()
    shares = {"Pb+X": 1.0, "Cs": 0.5, "X": 0.07}
    intensity = np.array([shares[s] for s in species]) * 9000.0
    rng = np.random.default_rng(2)
    electrons = drawn(yx, intensity, SHAPE, sigma=5.5, level=20.0, rng=rng)
    batch = batch_of(electrons, i, j, species, yx + rng.normal(0, 0.3, yx.shape))
    widths = {name: np.full(len(i), 5.5) for name in ("sigma_major_px", "sigma_minor_px")}
    columns = batch.tables["columns"].with_columns(widths)
    places_in_cell = [
        ("Pb+X", "B", 0, 0),
        ("Cs", "A", 0.5, 0.5),
        ("X", "X", 0.5, 0),
        ("X", "X", 0, 0.5),
    ]
    sites = [
        {"species": name, "role": role, "i": p, "j": q, "brightness": shares[name]}
        for name, role, p, q in places_in_cell
    ]
    table = fitted(
        batch.with_(tables={"columns": columns}),
        crystal={"name": "light X", "a_nm": 0.39, "sites": sites},
    )
    light = species == "X"
    assert set(words(table["reject_reason"])[light]) == {"hidden by its neighbours"}
    assert table["accepted"][~light].all()
    assert np.abs(places(table) - yx)[~light].max() < 0.5


def test_residuals_beyond_the_noise_widen_the_errors():
    i, j, species, yx = lattice()
    intensity = np.array([SHARES[s] for s in species]) * 4000.0
    rng = np.random.default_rng(3)
    electrons = drawn(yx, intensity, SHAPE, level=5.0, rng=rng)
    grain = np.maximum(electrons + 3 * np.sqrt(electrons) * rng.normal(size=SHAPE), 0)
    calm, rough = (fitted(batch_of(e, i, j, species, yx)) for e in (electrons, grain))
    ratio = errors(rough).mean() / errors(calm).mean()
    assert ratio == pytest.approx(np.sqrt(10), rel=0.15)
    pulls = (places(rough) - yx) / errors(rough)
    assert 0.7 < pulls.std() < 1.3
