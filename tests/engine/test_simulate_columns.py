from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from stempede.cli import main
from stempede.errors import InputError
from stempede.io.sources import open_frames
from stempede.simulate.columns import Dot, Scan, Scene, Tilt, frames, lay_out, render, series
from stempede.simulate.dot import layers_of
from stempede.simulate.scan import Gaussians, expected

SMALL = Scan(height_px=71, width_px=83, pixel_size_nm=0.015)


def one(scan, y, x, n=1000.0, sigma=3.0, offsets=None):
    column = Gaussians(np.array([y]), np.array([x]), np.array([n]), np.array([sigma]))
    still = np.zeros(scan.height_px)
    return expected(scan, column, offsets or (still, still))


def moments(image):
    y, x = np.indices(image.shape)
    total = image.sum()
    cy, cx = (y * image).sum() / total, (x * image).sum() / total
    spread = ((y - cy) ** 2 * image).sum() / total, ((x - cx) ** 2 * image).sum() / total
    return total, cy, cx, *spread


@settings(max_examples=15)
@given(st.floats(25, 45), st.floats(25, 55), st.floats(2, 4))
def test_a_column_has_its_electrons_place_and_width(y, x, sigma):
    # sampled sums of Gaussians wider than a pixel are exact to 1e-5 (Poisson summation)
    total, cy, cx, vy, vx = moments(one(SMALL, y, x, sigma=sigma))
    assert total == pytest.approx(1000, rel=1e-4)
    assert (cy, cx) == pytest.approx((y, x), abs=1e-4)
    assert (vy, vx) == pytest.approx((sigma**2, sigma**2), rel=1e-3)


def test_integrating_pixels_hold_the_error_functions():
    image = one(replace(SMALL, integrate=True), 30.3, 40.8, sigma=1.5)
    y, x = np.arange(71) - 30.3, np.arange(83) - 40.8

    def share(u):
        return 0.5 * np.diff(special.erf(np.append(u - 0.5, u[-1] + 0.5) / (1.5 * np.sqrt(2))))

    assert image == pytest.approx(1000 * np.outer(share(y), share(x)), abs=2e-3)


def test_astigmatism_lies_along_its_direction_and_keeps_the_area():
    scan = replace(SMALL, astigmatism=0.2, astigmatism_deg=90.0)
    total, _, _, vy, vx = moments(one(scan, 35.0, 41.0))
    assert total == pytest.approx(1000, rel=1e-4)
    assert np.sqrt(vy / vx) == pytest.approx(1.1 / 0.9, rel=1e-3)
    assert np.sqrt(vy * vx) == pytest.approx(9.0, rel=1e-3)


def test_lines_are_displaced_against_their_offsets():
    shift = 2.0 * (np.arange(71) % 2)
    image = one(SMALL, 35.0, 41.0, offsets=(np.zeros(71), shift))[30:41]
    centre = (image * np.arange(83)).sum(axis=1) / image.sum(axis=1)
    assert centre == pytest.approx(41.0 - shift[30:41], abs=1e-3)


def test_drift_moves_columns_to_where_the_truth_says():
    scan = replace(SMALL, drift_nm=(0.06, -0.045))
    still = np.random.default_rng(0)
    for y, x in ((20.2, 30.7), (50.9, 52.1)):
        _, cy, cx, *_ = moments(one(scan, y, x, offsets=scan.sampling(still)))
        assert (cy, cx) == pytest.approx(scan.recorded(np.array(y), np.array(x)), abs=0.02)


def tilts_by_definition(truth, k=0):
    """Mean signed angle from Pb-Pb to Pb-X over the X there; NaN without all four neighbours."""
    columns, sites = truth["truth_columns"], truth["truth_sites"]
    own = columns["crystal"] == k
    at = {
        (i, j): np.array([y, x])
        for i, j, y, x in zip(*(columns[n][own] for n in ("i", "j", "y_px", "x_px")), strict=True)
    }
    found = []
    for i, j in zip(sites["i"][sites["crystal"] == k], sites["j"][sites["crystal"] == k]):
        angles = []
        for di, dj in ((1, 0), (0, 1), (-1, 0), (0, -1)):
            if (i + di, j + dj) in at and (i + di / 2, j + dj / 2) in at:
                bond = at[i + di / 2, j + dj / 2] - at[i, j]
                line = at[i + di, j + dj] - at[i, j]
                turn = np.arctan2(*bond) - np.arctan2(*line)
                angles.append(np.rad2deg((turn + np.pi) % (2 * np.pi) - np.pi))
        found.append(np.mean(angles) if len(angles) == 4 else np.nan)
    return np.array(found)


@pytest.mark.parametrize(
    "tilt",
    [
        Tilt("uniform", 7.0),
        Tilt("core-shell", 9.0, 2.0, layers=2),
        Tilt("gradient", 11.0, 2.0),
        Tilt("random", 5.0, sd_deg=2.0),
        Tilt("uniform", 8.0, boundary=0.5),
    ],
)
def test_tilts_are_those_of_the_columns_placed(tilt):
    dot = Dot(cells=(9, 7), a_nm=0.62, b_nm=0.63, gamma_deg=91.5, tilt=tilt, rotation_deg=17.0)
    _, truth = render(Scene((dot,), Scan(dose_e_per_A2=200)), 0, 3)
    found = tilts_by_definition(truth)
    inside = np.isfinite(found)
    assert inside.sum() == 7 * 5
    assert found[inside] == pytest.approx(truth["truth_sites"]["tilt_deg"][inside], abs=1e-6)


def test_fields_have_the_tilts_asked_for():
    def staggered(tilt, cells=(10, 10), **more):
        _, truth = render(Scene((Dot(cells=cells, tilt=tilt, **more),), Scan(620, 640)), 0, 1)
        return truth["truth_sites"]

    uniform = staggered(Tilt("uniform", 6.0))
    assert uniform["staggered_tilt_deg"] == pytest.approx(np.full(100, 6.0))
    shell = staggered(Tilt("core-shell", 9.0, 2.0, layers=2))
    deep = shell["layer"] >= 3
    assert shell["staggered_tilt_deg"][deep] == pytest.approx(np.full(deep.sum(), 9.0))
    # a face site: its inner X stands between 2 and 5.5 degrees
    face = (shell["layer"] == 0) & (np.abs(shell["i"] - 0.5) < 3)
    assert shell["staggered_tilt_deg"][face] == pytest.approx(np.full(face.sum(), 2.4375))
    slope = staggered(Tilt("gradient", 11.0, 2.0), cells=(10, 6))
    inner = np.abs(slope["i"]) < 3
    assert np.polyfit(slope["i"][inner], slope["staggered_tilt_deg"][inner], 1)[0] == pytest.approx(
        1.0
    )
    wall = staggered(Tilt("uniform", 8.0, boundary=0.5))
    assert set(wall["domain"]) == {0, 1}
    far = np.abs(wall["i"] - 0.5) > 1
    assert wall["staggered_tilt_deg"][far] == pytest.approx(8.0 - 16.0 * wall["domain"][far])
    loose = staggered(Tilt("random", 5.0, sd_deg=2.0, correlation_cells=0.0), cells=(24, 22))
    # four X average what five sites ask for: 1/4 + 4/64 of the variance
    assert loose["staggered_tilt_deg"].std() == pytest.approx(2 * np.sqrt(0.3125), rel=0.12)


def test_layers_count_from_the_outside_across_corners():
    dot = Dot(cells=(12, 11), cut_corners=2)
    layers = layers_of(dot.outline())
    assert np.bincount(layers[layers >= 0]).tolist() == [42, 34, 26, 16, 2]
    assert "".join("." if v < 0 else str(v) for v in layers[1]) == ".0011111100."


def test_outlines_keep_or_lose_what_they_say():
    def columns(**more):
        _, truth = render(Scene((Dot(cells=(7, 5), **more),), Scan(400, 410)), 0, 2)
        names, n = np.unique(truth["truth_columns"]["species"], return_counts=True)
        return dict(zip(names.tolist(), n.tolist(), strict=True))

    assert columns() == {"Pb+X": 35, "Cs": 48, "X": 82}
    assert columns(rim="bare") == {"Pb+X": 35, "Cs": 24, "X": 58}
    assert columns(vacancies=3)["Pb+X"] == 32
    assert columns(cut_corners=1)["Pb+X"] == 31
    assert 50 < columns(missing_x=0.2)["X"] < 80


def test_bromine_lowers_x_and_thin_rims_lower_all():
    dot = Dot(cells=(8, 6), br_low=0.0, br_high=1.0, thin_rim=0.5)
    _, truth = render(Scene((dot,), Scan(480, 500)), 0, 1)
    t = truth["truth_columns"]
    x = t["species"] == "X"
    full = Scan().intensities()[2]
    rim = x & (np.abs(t["j"]) > 2.9)
    poor, rich = t["intensity"][rim & (t["i"] == t["i"][x].min() + 0.5)], t["br_fraction"].max()
    assert poor[0] == pytest.approx(0.5 * full * (1 - 0.506 * 0.5 / 8), rel=1e-3)
    assert rich == 1.0
    assert np.all(t["br_fraction"][t["species"] == "Cs"] == 0)


def test_columns_that_alternate_along_the_beam_are_drawn_out_as_told():
    spread = {"x_spread_pm": 24.0, "pbx_spread_pm": 18.0, "pbx_spread_deg": 30.0}
    dot = Dot(cells=(1, 1), rotation_deg=20.0, tilt=Tilt(core_deg=0.0), **spread)
    scan = replace(SMALL, dose_e_per_A2=2e6, sigma_nm=(0.03, 0.03, 0.03), background=0.0)
    image, truth = render(Scene((dot,), scan), 0)
    columns = truth["truth_columns"]
    apart = np.select([columns["species"] == "X", columns["species"] == "Cs"], [24.0, 0.0], 18.0)
    np.testing.assert_allclose(columns["spread_px"], apart / 15)
    along = {"Pb+X": 50.0, "a": 110.0, "b": 20.0}
    y, x = np.indices(image.shape)
    for cy, cx, name, i in zip(*(columns[n] for n in ("y_px", "x_px", "species", "i"))):
        if name == "Cs":
            continue
        here = np.hypot(y - cy, x - cx) < 10
        turn = np.deg2rad(along["Pb+X" if name == "Pb+X" else "a" if i % 1 else "b"])
        axis = np.sin(turn) * (y - cy) + np.cos(turn) * (x - cx)
        beside = np.cos(turn) * (y - cy) - np.sin(turn) * (x - cx)
        weight = image[here] / image[here].sum()
        excess = weight @ (axis[here] ** 2 - beside[here] ** 2)
        assert np.sqrt(excess) * 15 == pytest.approx(18 if name == "Pb+X" else 24, rel=0.02)


def test_counts_are_poisson_and_the_analog_detector_adds_its_own():
    scan = Scan(height_px=300, width_px=280, dose_e_per_A2=4000, background=5e-3)
    away = Dot(cells=(1, 1), centre_px=(-500.0, -500.0))
    image, _ = render(Scene((away,), scan), 0, 1)
    level = scan.background_per_px()
    assert level == pytest.approx(0.45)
    assert image.dtype == np.uint16
    assert image.mean() == pytest.approx(level, abs=0.01)
    assert image.var() == pytest.approx(level, abs=0.02)
    image, _ = render(Scene((away,), replace(scan, detector="analog", read_noise=0.5)), 0, 1)
    assert image.dtype == np.float32
    assert image.mean() == pytest.approx(120 + 37 * level, abs=0.5)
    assert image.var() == pytest.approx(37**2 * (level + 0.25), rel=0.03)


def test_jitter_has_its_strength_and_correlation():
    scan = replace(SMALL, height_px=20_000, jitter_x_nm=0.008, jitter_y_nm=0.0024)
    y, x = scan.sampling(np.random.default_rng(4))
    assert x.std() == pytest.approx(0.008 / 0.015, rel=0.03)
    assert y.std() == pytest.approx(0.0024 / 0.015, rel=0.03)
    assert np.corrcoef(x[1:], x[:-1])[0, 1] == pytest.approx(0.28, abs=0.03)


def test_recorded_cell_is_the_closed_form_of_the_drift():
    dot = Dot(a_nm=0.62, b_nm=0.64, rotation_deg=0.0)
    _, truth = render(Scene((dot,), Scan(500, 512, drift_nm=(0.05, 0.1))), 0)
    row = truth["truth_crystals"]
    dy, dx = 0.05 / 0.015, 0.1 / 0.015
    b = 0.64 / 0.015 / (1 + dy / 500)
    assert row["a_px"][0] == pytest.approx(0.62 / 0.015)
    assert row["b_px"][0] == pytest.approx(np.hypot(b, b * dx / 500))


def test_a_frame_depends_on_seed_and_number_alone():
    scene = Scene((Dot(cells=(5, 4)), Dot(cells=(4, 4))), Scan(600, 620, dose_e_per_A2=300))
    later = list(frames(scene, 2, seed=5))[1]
    alone = render(scene, 1, seed=5)
    assert np.array_equal(later[0], alone[0])
    assert not np.array_equal(alone[0], render(scene, 1, seed=6)[0])
    sites = alone[1]["truth_sites"]
    placed = lay_out(scene, 1, seed=5)["truth_sites"]
    assert all(np.array_equal(placed[n], sites[n]) for n in sites.schema.names)
    assert np.bincount(sites["crystal"]).tolist() == [20, 16]
    turns = alone[1]["truth_crystals"]["rotation_deg"]
    assert abs(turns[0] - turns[1]) > 1


def test_dots_without_room_are_refused():
    with pytest.raises(InputError, match="no room for 2 dots"):
        render(Scene((Dot(), Dot()), Scan(560, 540)), 0)


def test_fast_frames_move_together_by_the_shift_told():
    scene = Scene((Dot(cells=(4, 3)),), Scan(300, 310, dose_e_per_A2=100), amorphous=1)
    shown = list(series(scene, 5, seed=2, drift_nm=1.0))
    first = shown[0][1]["truth_columns"]
    for _, truth, shift in shown:
        assert truth["truth_columns"]["y_px"] - first["y_px"] == pytest.approx(shift[0])
        assert truth["truth_columns"]["x_px"] - first["x_px"] == pytest.approx(shift[1])
    assert np.hypot(*shown[-1][2]) * 0.015 == pytest.approx(1.0, abs=0.2)
    assert not np.array_equal(shown[0][0], shown[1][0])


def run(*arguments):
    with pytest.raises(SystemExit) as done:
        main(list(arguments))
    return done.value.code


def test_the_command_writes_a_session_with_truth_and_detector(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "made"
    done = run(
        *("simulate", "columns", "--out", str(out), "--frames", "3", "--size", "160"),
        *("--dose", "300", "--seed", "4", "--quiet", "--set", "n_a=3", "--set", "n_b=2"),
        *("--set", "detector=analog", "--set", "series=2"),
    )
    assert done == 0
    opened = open_frames(str(out / "session.zarr"))
    record = opened.records[2]
    assert record.calibration.pixel_size_nm == pytest.approx(0.015)
    assert record.instrument["dose_e_per_A2"] == 300
    assert record.instrument["gain_per_electron"] == 37
    assert record.instrument["read_noise_electrons"] == 0.25
    assert opened.load(record).shape == (160, 160)
    sites = pq.read_table(out / "truth" / "sites.parquet")
    assert sites["frame"].to_pylist() == [0] * 6 + [1] * 6 + [2] * 6
    assert pq.read_table(out / "truth" / "columns.parquet").num_rows == 3 * (6 + 12 + 17)
    assert pq.read_table(out / "truth" / "shifts.parquet").num_rows == 3
    assert run("simulate", "columns", "--out", str(out)) != 0
