"""Series of scans: grouping, registration, sums, screening, and how a run keeps them whole."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from series_drawing import Dot, dot, drift, expected, series
from stempede.backend import Backend
from stempede.chunk import Chunk, Measuring
from stempede.errors import InputError, RecipeError
from stempede.frames import FrameRecord, Frames
from stempede.io.results import Results
from stempede.pipeline import Pipeline
from stempede.plan import make_plan
from stempede.preprocess.align import Align
from stempede.preprocess.driftpath import best_path, parabola, penalty
from stempede.preprocess.likelihood import Noise
from stempede.recipe import Recipe
from stempede.series import series_of, units
from stempede.session import RunOptions, Session

CPU = Backend.choose("cpu")
SHAPE = (150, 190)
SMALL = {"sigma_px": 1.5}
DOSE = 300.0
SUM = """
name = "sum"
[[stage]]
use = "preprocess.align"
series = "average"
"""


def small_dot(**drawing) -> Dot:
    return dot(SHAPE, **{"cells": 4.0, "a_px": 21.0, **drawing})


@dataclass(frozen=True)
class Held:
    """Reads images that are held in memory."""

    images: tuple

    def __call__(self, record: FrameRecord) -> np.ndarray:
        found = self.images[record.frame]
        if found is None:
            raise InputError("cannot be decoded")
        return found


def frames_of(images, **labels) -> Frames:
    shape = next(i.shape for i in images if i is not None)
    records = tuple(
        FrameRecord(
            k, "/s.tif", k, shape, "uint16", labels=labels, instrument={"dose_e_per_A2": DOSE}
        )
        for k in range(len(images))
    )
    return Frames(records, Held(tuple(images)), label_names=tuple(labels))


def batch_of(images, **labels):
    return frames_of(images, **labels).read(range(len(images)), CPU)


@pytest.fixture(scope="module")
def drawn():
    """Eight scans of a small dot, their shifts, and the dot."""
    rng = np.random.default_rng(11)
    d, shifts = small_dot(), drift(rng, 8, 18.0)
    return series(rng, SHAPE, d, shifts, DOSE, **SMALL), shifts, d


def shifts_of(table) -> np.ndarray:
    return np.stack([table["shift_y_px"], table["shift_x_px"]], 1)


def off(found, true) -> np.ndarray:
    """Errors of shifts, without what all scans share."""
    error = found - true
    return error - np.nanmean(error, 0)


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


class TestScreening:
    def reasons(self, images) -> list[str]:
        return Align("average")(batch_of(images)).tables["shifts"]["reason"].tolist()

    def test_good_scans_are_all_used(self, drawn) -> None:
        assert set(self.reasons(drawn[0])) == {""}

    def test_blank_and_blurred_scans_are_dropped(self, drawn) -> None:
        images, true, d = drawn
        rng = np.random.default_rng(4)
        bad = images.copy()
        bad[2] = rng.poisson(0.005, SHAPE)
        bad[5] = rng.poisson(expected(SHAPE, d, true[5], DOSE, sigma_px=4.0))
        made = Align("average")(batch_of(bad))
        table = made.tables["shifts"]
        assert table["reason"].tolist() == ["", "", "blank", "", "", "blur", "", ""]
        assert table["state"].tolist().count("dropped") == 2
        assert np.isnan(shifts_of(table)[[2, 5]]).all()
        assert made.tables["frames"]["n_averaged"][0] == 6
        assert made.maps["exposure"].max() == 6

    def test_a_jump_within_a_scan(self, drawn) -> None:
        images, true, d = drawn
        bad = images.copy()
        before = expected(SHAPE, d, true[3], DOSE, **SMALL)
        after = expected(SHAPE, d, true[3] + (5, 6), DOSE, **SMALL)
        bad[3] = np.random.default_rng(8).poisson(np.concatenate([before[:75], after[75:]]))
        assert self.reasons(bad)[3] in ("jump", "blur")
        assert self.reasons(bad).count("") == 7

    def test_a_specimen_that_the_beam_changes(self, drawn) -> None:
        images, true, d = drawn
        rng = np.random.default_rng(9)
        left = d.x < SHAPE[1] / 2
        half = Dot(*(getattr(d, f.name)[left] for f in fields(d)))
        bad = images.copy()
        for k in (6, 7):
            bad[k] = rng.poisson(expected(SHAPE, half, true[k], DOSE, **SMALL))
        assert self.reasons(bad) == [""] * 6 + ["beam damage"] * 2

    def test_nothing_but_noise_is_said_so(self) -> None:
        noise = np.random.default_rng(1).poisson(0.5, (5, *SHAPE)).astype(np.float32)
        with pytest.raises(InputError, match="no scan with structure"):
            Align("average")(batch_of(noise))


class TestModes:
    def test_independent_frames_pass_through(self, drawn) -> None:
        batch = batch_of(drawn[0])
        made = Align()(batch)
        assert made.images is batch.images
        assert len(made.tables["shifts"]) == 0
        assert made.maps["exposure"].shape == batch.images.shape

    def test_track_keeps_every_scan_with_its_shift_and_dose(self, drawn) -> None:
        batch = batch_of(drawn[0])
        made = Align("track")(batch)
        frames, shifts = made.tables["frames"], made.tables["shifts"]
        np.testing.assert_array_equal(made.images, batch.images)
        assert frames["series"].tolist() == ["/s.tif"] * 8
        assert frames["series_index"].tolist() == list(range(8))
        np.testing.assert_array_equal(frames["shift_x_px"], shifts["shift_x_px"])
        assert frames["cumulative_dose_e_per_A2"][-1] == 8 * DOSE

    def test_what_a_recipe_may_not_say(self) -> None:
        with pytest.raises(RecipeError, match="series is one of"):
            Align("sum")
        with pytest.raises(RecipeError, match="drift_px"):
            Align("average", drift_px=0.0)
        with pytest.raises(RecipeError, match="series"):
            Recipe.loads(SUM.replace("average", "sum"))


class TestWhole:
    """Series are not cut by the plan, by an error, or by a worker that died."""

    @staticmethod
    def session(n_series=5, length=6, shape=(64, 70)) -> Frames:
        records = [
            FrameRecord(k, f"/{k}", 0, shape, "uint8", labels={"series": str(k // length)})
            for k in range(n_series * length)
        ]
        return Frames(tuple(records), Held(()), label_names=("series",))

    @pytest.mark.parametrize("workers", [1, 2, 4])
    def test_a_chunk_holds_whole_series(self, workers) -> None:
        frames = self.session()
        plan = make_plan(frames, CPU, workers=workers, memory_bytes=4 << 30, whole_series=True)
        assert sorted(k for c in plan.chunks for k in c) == list(range(30))
        for chunk in plan.chunks:
            assert len(chunk) % 6 == 0
            assert all(
                len({k // 6 for k in chunk[i : i + 6]}) == 1 for i in range(0, len(chunk), 6)
            )
        assert len(plan.sample) == 6

    def test_a_series_that_memory_cannot_hold(self) -> None:
        frames = self.session(1, 200, (1024, 1024))
        with pytest.raises(InputError, match="series of 200 frames of 1024 x 1024"):
            make_plan(frames, CPU, workers=1, memory_bytes=2 << 30, whole_series=True)
        make_plan(frames, CPU, workers=1, memory_bytes=2 << 30)

    def test_a_series_fails_as_one_and_others_go_on(self, drawn) -> None:
        images = [*drawn[0][:4], *(np.eye(*SHAPE, dtype=np.float32) * 0 for _ in range(4))]
        frames = frames_of(images)
        records = tuple(replace(r, source=f"/{r.frame // 4}") for r in frames.records)
        frames = replace(frames, records=records)
        # what would be refused when it is loaded is laid in by hand
        batch = frames.read(range(4), CPU)
        whole = replace(frames.select(range(4)), records=records)
        stack = np.concatenate([batch.images, np.stack(images[4:])])
        empty = replace(
            batch,
            images=stack,
            records=records,
            maps={"valid": np.ones(stack.shape, bool)},
            tables={"frames": Align()(batch_of(drawn[0])).tables["frames"]},
        )
        outcome = Pipeline((Align("average"),)).measure(whole, empty)
        found = outcome.tables["frames"]
        assert found["frame"].tolist() == [0, 4, 5, 6, 7]
        assert found["state"].tolist() == ["measured"] + ["problem"] * 4
        assert outcome.tables["problems"]["frame"].tolist() == [4, 5, 6, 7]
        assert len(outcome.tables["shifts"]) == 4

    def test_after_a_worker_died_series_are_tried_one_by_one(self, drawn, tmp_path) -> None:
        frames = frames_of(drawn[0])
        records = tuple(replace(r, source=f"/{r.frame // 4}") for r in frames.records)
        frames = replace(frames, records=records)
        specs = (("preprocess.align", ".", {"series": "average"}),)
        Results.create(tmp_path / "run", {}).lock.release()
        work = Measuring(str(tmp_path / "run"), specs, {}, "cpu")
        careful = Chunk(0, frames, careful=True, lost=(4,))
        summary = work.compute(careful, work.read(careful))
        found = Results(tmp_path / "run").read("frames")
        assert summary["frames"] == 8
        assert found["frame"].tolist() == [0, 4, 5, 6, 7]
        assert found["n_averaged"].tolist() == [4, -1, -1, -1, -1]
        assert Results(tmp_path / "run").read("problems")["frame"].tolist() == [4, 5, 6, 7]

    def test_runs_and_resumes_with_fewer_rows_than_frames(self, drawn, tmp_path) -> None:
        images = [*drawn[0], *drawn[0][:4]]
        images[5] = None
        frames = frames_of(images, series="")
        records = tuple(
            replace(r, source=f"/{r.frame // 4}", labels={"series": str(r.frame // 4)})
            for r in frames.records
        )
        frames = replace(frames, records=records)
        recipe = Recipe.loads(SUM)
        seen = []
        run = tmp_path / "run"
        session = Session(recipe, frames, run, RunOptions(device="cpu", workers=1))
        session.run(lambda done, total, *_: seen.append((done, total)))
        assert seen[-1] == (12, 12)
        found = session.table("frames")
        assert found["frame"].tolist() == [0, 4, 5, 8]
        assert found["n_averaged"].tolist() == [4, 3, -1, 4]
        assert len(session.table("shifts")) == 11
        results = Results(run)
        last = max(results.done_chunks())
        (run / "frames" / f"part-{last:05d}.parquet").unlink()
        results.update(state="interrupted", reduced=False)
        Session.resume(run, frames=frames).run()
        again = Results(run).read("frames")
        assert again["n_averaged"].tolist() == [4, 3, -1, 4]
        assert Results(run).run["state"] == "done"
