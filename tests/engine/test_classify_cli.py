"""``train classifier`` and ``classify`` end to end, in this process."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from stempede.classification import classifying, refuse_uncalibrated, train_classifier
from stempede.cli import main
from stempede.errors import ModelError
from stempede.frames import Calibration, FrameRecord, Frames
from stempede.io.results import Results
from stempede.particles.classify.tables import CLASS_FIELDS
from stempede.recipe import Recipe
from stempede.session import RunOptions, Session
from stempede.tables import PARTICLES, Table

RECIPE = """
name = "classes"
[[prepare]]
use = "preprocess.polarity"
[[stage]]
use = "preprocess.background"
[[stage]]
use = "preprocess.normalise"
[[stage]]
use = "particles.segment"
[[stage]]
use = "particles.split"
[[stage]]
use = "particles.features"
[[stage]]
use = "particles.accept"
[[reduce]]
use = "particles.ensemble"
[[reduce]]
use = "particles.samples"
"""
QUICK = ("--trials", 2, "--no-compare", "--quiet")


def stempede(*arguments):
    """Run a command; return its exit status."""
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in arguments])
    return left.value.code or 0


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classes")
    settings = {"mean_size_nm": 8, "touching": 0, "count": 16}
    changes = [part for k, v in settings.items() for part in ("--set", f"{k}={v}")]
    done = stempede(
        *("simulate", "particles", "--out", folder / "sim", "--frames", 6, "--size", 320),
        *("--quiet", *changes),
    )
    assert done == 0
    (folder / "classes.toml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def run(sample):
    """A run whose groups are the true shapes, as a perfect clustering would find them."""
    out = sample / "run"
    recipe, images = Recipe.load(sample / "classes.toml"), sample / "sim" / "session.zarr"
    machine = RunOptions(device="cpu", workers=1)
    results = Session.open(images, recipe, out, machine, sample="A").run()
    particles = results.read("particles")
    group = (particles["circularity"] < np.median(particles["circularity"])).astype(int)
    results.write_table(
        "particles", particles.with_columns({"group": group}), results.run["chunks"]
    )
    with pytest.MonkeyPatch.context() as patched:
        # what is not of classes is drawn, and looked at, elsewhere
        patched.setattr("stempede.report.groups.page.Grouped.gather", lambda found: None)
        patched.setattr("stempede.report.page.sections.features", lambda found, sketch: None)
        patched.setattr("stempede.report.page.overlays", lambda found, folder: None)
        assert stempede("train", "classifier", out, "--out", sample / "model", *QUICK) == 0
    return out


def test_training_leaves_a_model_a_card_and_scores(sample, run):
    card = json.loads((sample / "model" / "model.json").read_text())
    assert card["classes"] == ["group 0", "group 1"]
    assert card["training"]["run"] == str(run)
    assert card["features"] == "without shape"
    scores = pq.read_table(run / "class_scores").to_pandas()
    assert set(scores["judged_against"]) == {"group", "truth"}
    assert scores.loc[scores["judged_against"] == "group", "says"].str.contains("separable").all()
    assert scores.loc[scores["judged_against"] == "truth", "says"].str.contains("correct").all()
    assert (pq.read_table(run / "confusion").to_pandas()["n"] >= 0).all()
    assert "separable" in (run / "report.html").read_text()


def test_a_second_training_keeps_the_scores_of_the_first(sample, run):
    options = {"trials": 2, "compare": False}
    card = train_classifier(run, sample / "truth", labels="truth", **options)
    assert card["labels"] == "truth"
    scores = pq.read_table(run / "class_scores").to_pandas()
    assert set(scores["origin"]) == {"train group", "train truth"}


@pytest.fixture
def without_page(monkeypatch):
    """Pages are looked at elsewhere; drawing them takes longer than all the rest."""
    monkeypatch.setattr("stempede.report.page.write_report", lambda run: run / "report.html")


def test_a_finished_run_is_classified_where_it_is(sample, run, without_page, capsys):
    capsys.readouterr()
    assert stempede("classify", run, "--model", sample / "model", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    particles = pq.read_table(run / "particles").to_pandas()
    accepted = particles[particles["accepted"]]
    assert sum(said["classes"].values()) == accepted["class_name"].notna().sum() == len(accepted)
    right = accepted["class_name"] == "group " + accepted["group"].astype(int).astype(str)
    assert right.mean() > 0.8
    shares = pq.read_table(run / "sample_groups").to_pandas()
    assert set(shares["kind"]) == {"group", "class"}
    origins = set(pq.read_table(run / "class_scores").to_pandas()["origin"])
    assert {"train group", "classify, truth"} <= origins


def test_new_images_are_measured_as_the_training_run_was(sample, run, without_page, capsys):
    out = sample / "new"
    options = ("--out", out, "--workers", 1, "--frames", "0:3")
    session = sample / "sim" / "session.zarr"
    assert stempede("classify", session, "--model", sample / "model", *options) == 0
    assert "group 0" in capsys.readouterr().out
    old, new = (pq.read_table(f / "particles").to_pandas() for f in (run, out))
    old = old[old["frame"] < 3].reset_index(drop=True)
    assert np.allclose(old["area_px2"], new["area_px2"])
    assert new["class_name"].notna().sum() == new["accepted"].sum()
    record = json.loads((out / "run.json").read_text())
    assert "particles.classify" in record["recipe"]
    assert {"truth"} <= set(pq.read_table(out / "class_scores").to_pandas()["judged_against"])
    assert stempede("resume", out) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("classify", "RUN", "--model", "MODEL", "--out", "OUT"), "leave --out away"),
        (("classify", "IMAGES", "--model", "MODEL"), "wants --out"),
        (("classify", "IMAGES", "--model", "IMAGES", "--out", "OUT"), "folder of a classifier"),
        (("classify", "RUN", "--model", "RUN"), "folder of a classifier"),
        (("train", "classifier", "RUN", "--labels", "sample"), "found one, 'A'"),
        (("train", "classifier", "RUN", "--labels", "shape"), "labels is one of"),
        (("train", "classifier", "IMAGES"), "folder of a run"),
        (("train", "classifier", "RUN", "--truth", "RUN"), "particles.parquet"),
    ],
)
def test_what_cannot_be_done_says_why_and_leaves_nothing(sample, run, arguments, words, capsys):
    places = {
        "RUN": run,
        "MODEL": sample / "model",
        "IMAGES": sample / "sim",
        "OUT": sample / "nothing",
    }
    before = (run / "run.json").read_bytes()
    assert stempede(*(places.get(a, a) for a in arguments)) == 2
    assert words in capsys.readouterr().err
    assert not (sample / "nothing").exists()
    assert (run / "run.json").read_bytes() == before


def test_a_card_cannot_bring_code_of_its_own(sample, run, tmp_path):
    for name in ("model.skops", "model.json"):
        (tmp_path / name).write_bytes((sample / "model" / name).read_bytes())
    card = json.loads((tmp_path / "model.json").read_text())
    card["training"]["recipe"] += '\n[[stage]]\nuse = "stolen.py:Stage"\n'
    (tmp_path / "model.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="names Python files; give it with --recipe"):
        classifying(tmp_path)
    own = classifying(tmp_path, sample / "classes.toml")
    assert own.entries[-1].use == "particles.classify"
    assert own.hash != Recipe.load(sample / "classes.toml").hash


def test_what_a_recipe_or_images_lack_is_said_before_anything_runs(sample, run, tmp_path):
    for name in ("model.skops", "model.json"):
        (tmp_path / name).write_bytes((sample / "model" / name).read_bytes())
    card = json.loads((tmp_path / "model.json").read_text())
    record = FrameRecord(0, "/d/a.tif", 0, (30, 40), "uint8", Calibration(None, None, "none"))
    with pytest.raises(ModelError, match="no image has a calibration"):
        refuse_uncalibrated(tmp_path, Frames((record,), None))
    (tmp_path / "model.json").write_text(json.dumps({**card, "fields": ["p", "d"]}))
    with pytest.raises(ModelError, match=r"add particles\.shapes"):
        classifying(tmp_path)
    refuse_uncalibrated(tmp_path, Frames((record,), None))


def test_parts_that_a_killed_command_left_without_classes_are_read(run, tmp_path):
    results = Results.create(tmp_path / "killed", {"state": "done"})
    particles = Results(run).read("particles")
    plain = Table(PARTICLES, {n: particles[n] for n in PARTICLES.names})
    schema = plain.schema.extended(*CLASS_FIELDS)
    named = Table(schema, {**plain.columns, "class_name": ["cube"] * len(plain)})
    results.write_chunk(0, {"particles": named})
    results.write_chunk(1, {"particles": plain})
    results.lock.release()
    found = results.read("particles")
    assert sorted(set(found["class_name"].tolist())) == ["", "cube"]
    assert np.isnan(found["p_class"]).all()
