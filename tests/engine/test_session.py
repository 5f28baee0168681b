from __future__ import annotations

import json

import numpy as np
import pytest

import tiny
from stempede.errors import InputError, RecipeError, ResultsError
from stempede.io.results import Results
from stempede.session import RunOptions, Session

ONE = RunOptions(device="cpu", workers=1)


def made(out, *assignments: str, n: int = 10, options: RunOptions = ONE, **kwargs) -> Session:
    return Session(tiny.recipe(*assignments), tiny.session(n, **kwargs), out, options)


def test_a_run_from_start_to_end(tmp_path) -> None:
    news = []
    session = made(tmp_path / "run", broken=(2,))
    results = session.run(progress=lambda *numbers: news.append(numbers))
    run = results.run
    assert (run["state"], run["reduced"]) == ("done", True)
    assert run["counts"]["frames"] == 10
    assert run["counts"]["measured"] == 9
    assert run["counts"]["particles"] == len(session.table("particles")) > 20
    assert run["recipe_hash"] == session.recipe.hash
    assert list(run["timings"]) == ["read", "tiny.smooth", "tiny.find", "download", "maps"]
    assert run["ledger"]["read"]["up"] > 0
    assert set(run["prepared"]) == {"tiny.level"}
    assert results.read_prepared("tiny.level")["n"] == 3
    assert news[-1][:3] == (10, 10, run["counts"]["particles"])
    assert session.table("problems")["frame"].tolist() == [2]
    assert session.table("frames")["frame"].tolist() == list(range(10))
    accepted = session.table("particles")["accepted"]
    assert session.table("sizes")["n"].tolist() == [accepted.sum()]
    assert results.maps.frames("labels") == [0, 1, 3, 4, 5, 6, 7, 8, 9]
    assert not list(results.path.rglob(".*"))


def test_prepare_sees_the_first_usable_frames_only(tmp_path) -> None:
    made(tmp_path / "a", broken=(0, 1)).run()
    found = Results(tmp_path / "a").read_prepared("tiny.level")
    frames = tiny.session(10)
    medians = [np.median(frames.load(frames.records[k])) for k in (2, 3, 4)]
    assert found == {"level": pytest.approx(np.mean(medians)), "n": 3}


def test_nothing_usable_is_a_run_of_problems(tmp_path) -> None:
    session = made(tmp_path / "run", n=3, broken=(0, 1, 2))
    session.run()
    assert session.results.run["counts"]["measured"] == 0
    assert len(session.table("problems")) == 3
    assert len(session.table("particles")) == 0


def test_a_dry_run_writes_nothing(tmp_path) -> None:
    plan = made(tmp_path / "run").plan(measure=True)
    text = "\n".join(plan.lines())
    assert "10 (8 of 40 x 53 px, 2 of 47 x 38 px)" in text
    assert "0.4472" in text
    assert "cpu" in text
    assert plan.seconds is not None
    assert not (tmp_path / "run").exists()


def test_a_frame_that_cannot_fit_is_a_row_and_is_never_read(tmp_path) -> None:
    frames = tiny.session(3, odd=False)
    large = frames.records[1].__class__(1, "/tiny/large.tif", 0, (60_000, 60_000), "uint16")
    frames = frames.__class__((frames.records[0], large, frames.records[2]), frames.reader)
    options = RunOptions(device="cpu", workers=1, memory_bytes=4 << 30)
    session = Session(tiny.recipe(), frames, tmp_path / "run", options)
    session.run()
    assert session.table("frames")["state"].tolist() == ["measured", "problem", "measured"]
    (reason,) = session.table("problems")["reason"].tolist()
    assert "60000 x 60000 px and needs about" in reason
    assert "found 4.0 GiB; raise --memory" in reason


def test_resuming_a_finished_run_does_nothing(tmp_path, caplog) -> None:
    made(tmp_path / "run").run()
    before = (tmp_path / "run" / "run.json").read_text()
    again = Session.resume(tmp_path / "run", frames=tiny.session())
    assert again.finished
    with caplog.at_level("INFO", logger="stempede"):
        again.run()
    assert "finished already" in caplog.text
    assert (tmp_path / "run" / "run.json").read_text() == before


class TestExclusions:
    ROWS = ({"frame": 0, "particle": 1, "reason": "dirt"}, {"frame": 1, "reason": "blurred"})

    def test_only_the_reductions_run_again(self, tmp_path) -> None:
        session = made(tmp_path / "run")
        session.run()
        before, frames = session.table("particles"), session.table("frames")
        again = Session.resume(tmp_path / "run", frames=tiny.session(), exclude=self.ROWS)
        again.run()
        after = again.table("particles")
        named = (before["frame"] == 1) | ((before["frame"] == 0) & (before["particle"] == 1))
        np.testing.assert_array_equal(after["accepted"], before["accepted"] & ~named)
        np.testing.assert_array_equal(after["area_px2"], before["area_px2"])
        assert again.table("sizes")["n"].tolist() == [after["accepted"].sum()]
        assert again.table("exclusions")["reason"].tolist() == ["dirt", "blurred"]
        assert again.results.run["exclusions"][0]["reason"] == "dirt"
        np.testing.assert_array_equal(again.table("frames")["frame"], frames["frame"])
        assert again.results.run["counts"]["frames"] == 10
        assert again.table("frames")["n_accepted"].tolist() == frames["n_accepted"].tolist()

    def test_a_later_list_replaces_an_earlier_one(self, tmp_path) -> None:
        session = made(tmp_path / "run")
        session.run()
        before = session.table("particles")
        for rows in (self.ROWS, ()):
            Session.resume(tmp_path / "run", frames=tiny.session(), exclude=rows).run()
        tiny.assert_same(session.table("particles"), before)

    def test_a_list_that_does_not_fit_leaves_the_run_as_it_was(self, tmp_path) -> None:
        session = made(tmp_path / "run")
        session.run()
        before = session.table("particles")
        again = Session.resume(tmp_path / "run", frames=tiny.session(), exclude=[{"particle": 1}])
        with pytest.raises(InputError, match="no frame"):
            again.run()
        assert session.finished
        tiny.assert_same(session.table("particles"), before)

    def test_a_csv_that_is_not_there(self, tmp_path) -> None:
        made(tmp_path / "run").run()
        with pytest.raises(InputError, match="check --exclude"):
            Session.resume(tmp_path / "run", frames=tiny.session(), exclude=tmp_path / "no.csv")

    def test_a_csv(self, tmp_path) -> None:
        made(tmp_path / "run").run()
        (tmp_path / "e.csv").write_text("frame, particle, reason\n0, 1, dirt\n")
        again = Session.resume(tmp_path / "run", frames=tiny.session(), exclude=tmp_path / "e.csv")
        again.run()
        assert again.table("exclusions")["particle"].tolist() == [1]


class TestChangedRecipe:
    def test_another_recipe_is_refused_with_the_difference(self, tmp_path) -> None:
        made(tmp_path / "run").run()
        with pytest.raises(ResultsError, match=r"tiny\.find\.above: 20\.0 -> 25\.0"):
            Session.resume(
                tmp_path / "run", frames=tiny.session(), recipe=tiny.recipe("find.above=25")
            )

    def test_an_edited_recipe_file_is_refused(self, tmp_path) -> None:
        (tmp_path / "tiny_stages.py").write_text((tiny.FILES / "tiny_stages.py").read_text())
        (tmp_path / "mine.toml").write_text(tiny.RECIPE)
        session = Session(tmp_path / "mine.toml", tiny.session(4), tmp_path / "run", ONE)
        session.run()
        assert Session.resume(tmp_path / "run", frames=tiny.session(4)).finished
        (tmp_path / "mine.toml").write_text(tiny.RECIPE.replace("frames = 3", "frames = 4"))
        with pytest.raises(ResultsError, match="prepare_frames: 3 -> 4"):
            Session.resume(tmp_path / "run", frames=tiny.session(4))

    def test_an_edited_user_file_is_refused(self, tmp_path) -> None:
        text = (tiny.FILES / "tiny_stages.py").read_text()
        (tmp_path / "tiny_stages.py").write_text(text)
        (tmp_path / "mine.toml").write_text(tiny.RECIPE)
        Session(tmp_path / "mine.toml", tiny.session(4), tmp_path / "run", ONE).run()
        (tmp_path / "tiny_stages.py").write_text(text.replace("area > 12", "area > 13"))
        with pytest.raises(ResultsError, match=r"tiny_stages\.py changed"):
            Session.resume(tmp_path / "run", frames=tiny.session(4))

    def test_a_parameter_that_the_run_did_not_know(self, tmp_path) -> None:
        made(tmp_path / "run", n=3).run()
        path = tmp_path / "run" / "run.json"
        run = json.loads(path.read_text())
        run["recipe"] = run["recipe"].replace("sigma_px = 1.0\n", "")
        run["recipe_hash"] = "0" * 64
        path.write_text(json.dumps(run))
        with pytest.raises(ResultsError, match=r"\+ sigma_px = 1\.0"):
            Session.resume(tmp_path / "run", frames=tiny.session(3))


def test_frames_of_a_users_own_reader_must_be_given_again(tmp_path) -> None:
    made(tmp_path / "run", n=3).run()
    with pytest.raises(ResultsError, match=r"Session\.resume\(out, frames="):
        Session.resume(tmp_path / "run")


def test_keep_must_be_made_by_a_stage(tmp_path) -> None:
    with pytest.raises(RecipeError, match="no stage of the recipe makes it; known are"):
        made(tmp_path / "run", options=RunOptions(keep=("label",)))


@pytest.mark.parametrize(
    "wrong", [{"device": "tpu"}, {"workers": -1}, {"memory_bytes": 0}], ids=lambda w: next(iter(w))
)
def test_options_that_make_no_sense(wrong) -> None:
    with pytest.raises(InputError):
        RunOptions(**wrong)


def test_five_lines_in_a_notebook(tmp_path) -> None:
    pandas = pytest.importorskip("pandas")
    session = made(tmp_path / "run", n=4)
    session.run()
    frame = session.table("particles").to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["group"].isna().all()
    assert len(frame) == len(session.table("particles").to_polars())
