"""Registration of fast scans: which belong together, where each lies, and their sum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.drifting_scans import (
    CPU,
    DOSE,
    SHAPE,
    SMALL,
    batch_of,
    eight_scans,
    frames_of,
    off,
    shifts_of,
    small_dot,
)
from series_drawing import drift, expected, series
from stempede.frames import FrameRecord
from stempede.preprocess.align import Align
from stempede.preprocess.driftpath import best_path, parabola, penalty
from stempede.preprocess.likelihood import Noise
from stempede.series import series_of, units


@pytest.fixture
def drawn():
    return eight_scans()


class TestGrouping:
    def test_labels_samples_shapes_and_sources(self) -> None:
        def record(k, source, shape=(20, 30), **labels):
            return FrameRecord(k, source, 0, shape, "uint8", labels=labels)

        records = [
            record(0, "/a.tif", series="1", sample="A"),
            record(1, "/b.tif", series="1", sample="A"),
            record(2, "/c.tif", series="1", sample="B"),
            record(3, "/stack.tif"),
            record(4, "/stack.tif", (30, 20)),
            record(5, "/stack.tif"),
            record(6, "/d.tif"),
        ]
        assert [s.frames for s in series_of(records)] == [(0, 1), (2,), (3, 5), (4,), (6,)]

    def test_the_index_orders_a_series(self) -> None:
        records = [
            FrameRecord(
                k, f"/{k}", 0, (9, 9), "u1", labels={"series": "s"}, instrument={"series_index": i}
            )
            for k, i in enumerate((2, 0, 1))
        ]
        assert series_of(records)[0].frames == (1, 2, 0)
        assert units(records, whole=False) == [(0,), (1,), (2,)]


class TestRegistration:
    def test_shifts_are_found_within_their_errors(self, drawn) -> None:
        images, true, _ = drawn
        table = Align("average")(batch_of(images)).tables["shifts"]
        error = off(shifts_of(table), true)
        se = np.stack([table["se_shift_y_px"], table["se_shift_x_px"]], 1)
        assert np.abs(error).max() < 0.5
        assert 0.4 < np.sqrt(np.mean((error / se) ** 2)) < 1.6
        assert table["shift_y_px"][0] == table["shift_x_px"][0] == 0.0

    def test_no_step_of_the_lattice_where_it_fills_the_frame(self) -> None:
        rng = np.random.default_rng(5)
        d, true = small_dot(cells=20.0), drift(rng, 8, 18.0)
        images = series(rng, SHAPE, d, true, DOSE, **SMALL)
        table = Align("track", drift_px=2.5)(batch_of(images)).tables["shifts"]
        assert np.abs(off(shifts_of(table), true)).max() < 0.5

    def test_a_leap_of_the_stage_is_followed(self) -> None:
        rng = np.random.default_rng(6)
        true = drift(rng, 8, 6.0)
        true[4:] += (19.0, -13.0)
        images = series(rng, SHAPE, small_dot(), true, DOSE, **SMALL)
        table = Align("track", drift_px=1.5)(batch_of(images)).tables["shifts"]
        assert np.abs(off(shifts_of(table), true)).max() < 0.5

    @pytest.mark.parametrize(("gain", "offset", "read"), [(40.0, 1000.0, 0.3), (0.001, 0.0, 0.0)])
    def test_the_scale_of_the_detector_does_not_matter(self, drawn, gain, offset, read) -> None:
        images, true, _ = drawn
        rng = np.random.default_rng(2)
        analog = offset + gain * (images + rng.normal(0, read, images.shape))
        table = Align("track")(batch_of(analog.astype(np.float32))).tables["shifts"]
        assert np.abs(off(shifts_of(table), true)).max() < 0.7
        assert (table["state"] == "used").all()

    def test_masked_pixels_say_nothing(self, drawn) -> None:
        images, true, _ = drawn
        marked = images.copy()
        marked[:, 130:, :70] = 50 * (np.arange(70) % 2)
        frames = frames_of(marked)
        records = tuple(replace(r, exclude=((130, 0, 150, 70),)) for r in frames.records)
        batch = replace(frames, records=records).read(range(8), CPU)
        made = Align("average")(batch)
        assert np.abs(off(shifts_of(made.tables["shifts"]), true)).max() < 0.6
        # what one scan hides, others show once the specimen has drifted
        assert 0 < made.maps["exposure"][0, 131:149, 1:69].max() < 8

    def test_noise_is_a_line_of_the_mean(self) -> None:
        rng = np.random.default_rng(0)
        level = np.linspace(0.5, 30, 256)[:, None] * np.ones((1, 260))
        image = 7.0 + 3.0 * rng.poisson(level) + rng.normal(0, 2.0, level.shape)
        noise, dark = Noise.of(image[None].astype(np.float32), np.ones((1, 256, 260)), CPU)
        assert noise.gain == pytest.approx(3.0, rel=0.15)
        found = noise.variance(np.float32(7.0 + 3.0 * 15.0 - dark), np)
        assert found == pytest.approx(9.0 * 15.0 + 4.0, rel=0.1)

    def test_the_path_prefers_small_steps_unless_the_scans_insist(self) -> None:
        here, far = np.array([0.0, 0.0]), np.array([21.0, 0.0])
        shifts = [here[None], np.stack([here, far]), here[None]]
        for gain, expected_y in ((9.0, 0.0), (200.0, 21.0)):
            gains = [np.zeros(1), np.array([0.0, gain]), np.zeros(1)]
            assert best_path(shifts, gains, 4.0, [0, 1, 1])[1, 0] == expected_y
        assert penalty(np.array([0.0, 0.0]), 4.0) == 0

    @given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(0.5, 30.0))
    def test_the_top_of_a_parabola(self, y, x, steep) -> None:
        d = np.arange(-1, 2)
        nine = -steep * ((d[:, None] - y) ** 2 + 0.7 * (d - x) ** 2)
        step, _ = parabola(nine)
        assert step is not None
        np.testing.assert_allclose(step, (y, x), atol=1e-9)


class TestSum:
    def test_counts_stay_counts_and_none_is_lost_inside(self, drawn) -> None:
        images, true, d = drawn
        made = Align("average")(batch_of(images))
        exposure, total = made.maps["exposure"][0], np.asarray(made.images[0])
        np.testing.assert_array_equal(total, np.rint(total))
        np.testing.assert_array_equal(made.maps["valid"][0], exposure > 0)
        assert exposure.max() == 8
        inside = exposure == 8
        awaited = 8 * expected(SHAPE, d, true[0], DOSE, **SMALL)
        assert total[inside].sum() == pytest.approx(awaited[inside].sum(), rel=0.03)
        residue = (total - awaited)[inside] / np.sqrt(awaited[inside])
        assert residue.std() == pytest.approx(1.0, abs=0.08)

    def test_one_row_stands_for_the_series(self, drawn) -> None:
        made = Align("average")(batch_of(drawn[0], sample="A"))
        frames, table = made.tables["frames"], made.tables["shifts"]
        assert len(made) == len(frames) == len(made.images) == 1
        assert frames["n_averaged"][0] == 8
        assert frames["sample"][0] == "A"
        assert frames["dose_e_per_A2"][0] == 8 * DOSE
        assert made.records[0].frame == frames["frame"][0] == 0
        assert table["frame"].tolist() == list(range(8))
        assert set(table["into_frame"].tolist()) == {0}
        np.testing.assert_allclose(table["cumulative_dose_e_per_A2"], DOSE * np.arange(1, 9))

    def test_scans_that_stand_still_are_not_moved(self) -> None:
        rng = np.random.default_rng(3)
        true = np.full((6, 2), 0.5) + rng.normal(0, 0.03, (6, 2))
        images = series(rng, SHAPE, small_dot(), true, DOSE, **SMALL)
        table = Align("average")(batch_of(images)).tables["shifts"]
        assert not table["moved_y_px"].any()
        assert not table["moved_x_px"].any()

    def test_each_series_gives_what_it_gives_alone(self, drawn) -> None:
        images = drawn[0]
        two = np.concatenate([images[:4], images[4:]])
        frames = frames_of(two)
        labelled = tuple(
            replace(r, labels={"series": str(r.frame // 4)}, source=f"/{r.frame}")
            for r in frames.records
        )
        together = Align("average")(replace(frames, records=labelled).read(range(8), CPU))
        alone = Align("average")(batch_of(images[4:]))
        np.testing.assert_array_equal(together.images[1], alone.images[0])
        assert together.frames.tolist() == [0, 4]

    def test_a_single_frame_is_its_own_sum(self, drawn) -> None:
        made = Align("average")(batch_of(drawn[0][:1]))
        np.testing.assert_array_equal(made.images[0], drawn[0][0])
        assert made.tables["frames"]["n_averaged"][0] == 1
