"""Series in a run: scans that are dropped, what each mode gives, and series kept whole."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from engine.drifting_scans import (
    CPU,
    DOSE,
    SHAPE,
    SMALL,
    Held,
    batch_of,
    eight_scans,
    frames_of,
    shifts_of,
)
from series_drawing import Dot, expected
from stempede.chunk import Chunk, Measuring
from stempede.errors import InputError, RecipeError
from stempede.frames import FrameRecord, Frames
from stempede.io.results import Results
from stempede.pipeline import Pipeline
from stempede.plan import make_plan
from stempede.preprocess.align import Align
from stempede.recipe import Recipe
from stempede.session import RunOptions, Session

SUM = """
name = "sum"
[[stage]]
use = "preprocess.align"
series = "average"
"""


@pytest.fixture
def drawn():
    return eight_scans()


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
