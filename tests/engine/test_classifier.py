import json

import numpy as np
import pytest

from drawn_groups import draw
from stempede.errors import InputError, ModelError, RecipeError
from stempede.particles.classify import judge, svm
from stempede.particles.classify.features import SETS, unit_of
from stempede.particles.classify.judge import Answers
from stempede.particles.classify.learn import learn
from stempede.particles.classify.model_file import CARD, MODEL, load, read_card, save
from stempede.particles.classify.reduce import Classify, classes_of
from stempede.particles.classify.sample_groups import sample_groups
from stempede.particles.classify.tables import merged
from stempede.particles.terms import TERMS, has_size, matrix
from stempede.tables import MISSING, Table


@pytest.fixture(scope="module")
def learnt():
    frames, particles, group = draw(400)
    truth = {
        "frame": np.zeros(0, np.int64),
        **{k: np.zeros(0) for k in ("y_px", "x_px", "visible")},
        "shape": np.zeros(0, dtype=object),
    }
    return learn(frames, particles, truth=truth, trials=2, seed=1), frames, particles, group


@pytest.fixture(scope="module")
def model(learnt, tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    learnt[0].save(folder, training={"recipe": ""})
    return folder


def scores(learnt, **wanted):
    rows = learnt.tables["class_scores"].to_arrow().to_pylist()
    return [r for r in rows if all(r[k] == v for k, v in wanted.items())]


def test_terms_with_a_size_are_those_whose_value_the_unit_changes():
    _, particles, _ = draw(50)
    for name, term in TERMS.items():
        px, nm = (matrix(particles, [name], unit)[:, 0] for unit in ("px", "nm"))
        assert np.isfinite(px).all(), name
        assert np.allclose(px, nm) != term.sized, name
    assert has_size(SETS["all"])
    assert not has_size(SETS["shape alone"])


def test_groups_are_told_apart_by_particle_and_by_image(learnt):
    found = learnt[0]
    for split in ("particle", "image"):
        (row,) = scores(
            found, features="all", split=split, measure="held out 20 %", score="accuracy"
        )
        assert row["value"] > 0.95
        assert row["chance"] < 0.5
        assert "separable" in row["says"]
        assert "does not say that the labels are right" in row["says"]
    assert {r["features"] for r in scores(found)} == set(SETS)
    assert len({r["split"] for r in scores(found, saved=True)}) == 1
    assert scores(found, saved=True)[0]["split"] == "image"


def test_a_model_is_the_same_for_the_same_seed(learnt):
    again = learn(*learnt[1:3], trials=2, seed=1, compare=False)
    first = learnt[0].trained
    assert (again.trained.choice.C, again.trained.choice.gamma) == (
        first.choice.C,
        first.choice.gamma,
    )
    x = matrix(learnt[2], first.features and SETS[first.features], "nm")
    assert np.array_equal(first.model.predict_proba(x), again.trained.model.predict_proba(x))


def test_what_particles_of_an_image_share_helps_only_where_images_are_not_held_out():
    rng = np.random.default_rng(3)
    frames, particles, _ = draw(800, 20, groups=1)
    image = np.asarray(particles["frame"])
    # labels and features depend on the image alone, and not on each other
    group = rng.permutation(np.arange(20) % 2)[image]
    changed = {"group": group}
    for name in ("p", "d", "l_ratio"):
        changed[name] = np.exp(rng.normal(size=20)[image] + 0.01 * rng.normal(size=len(image)))
    particles = particles.with_columns(changed)
    options = {"features": "shape alone", "compare": False}
    found = learn(frames, particles, trials=6, seed=2, **options)
    value = {
        s: scores(found, features="shape alone", split=s, measure="10-fold", score="accuracy")[0][
            "value"
        ]
        for s in ("particle", "image")
    }
    assert value["particle"] > 0.9
    assert value["image"] < 0.75


def test_truth_is_judged_where_it_is_known():
    frames, particles, group = draw(500, 10)
    names = np.array(["rod", "cube", "star"])[group]
    truth = {k: np.asarray(particles[k]) for k in ("y_px", "x_px")}
    truth |= {"frame": np.asarray(frames["page"])[particles["frame"]], "shape": names}
    # pages stand for frames here
    frames = frames.with_columns({"page": np.arange(10)})
    truth["frame"] = np.asarray(particles["frame"])
    truth["visible"] = np.ones(len(names))
    # one group in ten is wrong: separable stays high, correct cannot be higher than the groups
    wrong = np.random.default_rng(0).random(len(group)) < 0.1
    mixed = particles.with_columns({"group": np.where(wrong, (group + 1) % 3, group)})
    found = learn(frames, mixed, truth=truth, trials=2, compare=False)
    (row,) = scores(
        found,
        features="all",
        split="image",
        judged_against="truth",
        score="accuracy",
        measure="held out 20 %",
    )
    assert "correct" in row["says"]
    assert row["value"] > 0.95
    assert found.card["truth_names"] == {"group 0": "rod", "group 1": "cube", "group 2": "star"}
    direct = learn(frames, mixed, "truth", truth=truth, trials=2, compare=False)
    assert direct.card["classes"] == ["cube", "rod", "star"]


def test_samples_are_told_image_by_image():
    shares = {"alpha": (0.9, 0.05, 0.05), "beta": (0.05, 0.05, 0.9)}
    frames, particles, _ = draw(600, 10, shares=shares)
    found = learn(frames, particles, "sample", trials=2, compare=False)
    rows = scores(found, split="leave one image out", score="accuracy")
    assert {r["measure"] for r in rows} == {"each image left out", "images by majority"}
    by_measure = {r["measure"]: r for r in rows}
    assert 0.8 < by_measure["each image left out"]["value"] < 0.99
    assert by_measure["images by majority"]["value"] == 1.0
    # ten images, all right: the interval is not of no width
    assert by_measure["images by majority"]["ci_low"] < 0.75
    assert "which sample" in rows[0]["says"]


def test_small_classes_are_left_out_and_named():
    frames, particles, group = draw(400)
    few = group.copy()
    few[:2] = 7
    found = learn(frames, particles.with_columns({"group": few}), trials=2, compare=False)
    assert found.card["classes"] == ["group 0", "group 1", "group 2"]
    assert any("'group 7' has" in note and "fewer than 20" in note for note in found.notes)


@pytest.mark.parametrize(
    ("columns", "labels", "words"),
    [
        ({"group": MISSING}, "group", "found none; group the run first"),
        ({"group": 0}, "group", "found one, 'group 0'"),
        ({}, "sample", "label the samples"),
        ({}, "truth", "--truth"),
        ({}, "shape", "labels is one of"),
        ({"accepted": False}, "group", "found none"),
    ],
)
def test_what_cannot_be_learnt_is_refused(columns, labels, words):
    frames, particles, _ = draw(200)
    changed = {k: np.full(len(particles), v) for k, v in columns.items()}
    with pytest.raises(InputError, match=words):
        learn(frames, particles.with_columns(changed), labels, trials=2, compare=False)


def test_particles_without_a_feature_are_left_out_and_counted():
    frames, particles, _ = draw(300, shape=True)
    solidity = particles["solidity"].copy()
    solidity[::10] = np.nan
    found = learn(frames, particles.with_columns({"solidity": solidity}), trials=2, compare=False)
    assert any("lack a feature (solidity)" in note for note in found.notes)
    assert found.card["n_examples"] < 280


def test_without_shape_parameters_sets_with_them_are_left_out():
    frames, particles, _ = draw(300, shape=False)
    found = learn(frames, particles, trials=2, compare=False)
    assert found.card["features"] == "without shape"
    assert not any(r["with_shape"] for r in scores(found))
    with pytest.raises(InputError, match=r"particles\.shapes"):
        learn(frames, particles, features="4 + 3", trials=2, compare=False)
    with pytest.raises(InputError, match="auto or one of"):
        learn(frames, particles, features="five", trials=2, compare=False)


def test_identical_particles_are_no_error():
    frames, particles, group = draw(120)
    same = particles.take(np.zeros(120, np.int64)).with_columns(
        {"frame": particles["frame"], "group": group, "accepted": np.ones(120, bool)}
    )
    (row,) = scores(
        learn(frames, same, trials=2, compare=False),
        features="all",
        split="image",
        measure="10-fold",
        score="balanced accuracy",
    )
    assert row["value"] < 0.6


def test_a_saved_model_says_the_same(learnt, model):
    found = load(model)
    terms = found.card["terms"]
    x = matrix(learnt[2], terms, "nm")
    assert np.array_equal(found.model.predict_proba(x), learnt[0].trained.model.predict_proba(x))
    named, p = classes_of(learnt[2], found)
    accepted = learnt[2]["accepted"]
    right = named[accepted] == np.char.add("group ", learnt[3][accepted].astype(str))
    assert right.mean() > 0.95
    assert (named[~accepted] == "").all()
    assert np.isnan(p[~accepted]).all()
    assert ((p[accepted] > 1 / 3) & (p[accepted] <= 1)).all()
    assert found.card["unit"] == "nm"
    assert found.card["pixel_size_nm"] == pytest.approx(0.25)


def copied(model, folder):
    folder.mkdir()
    for name in (MODEL, CARD):
        (folder / name).write_bytes((model / name).read_bytes())
    return folder


def test_damaged_and_foreign_models_are_refused(model, tmp_path):
    with pytest.raises(ModelError, match=r"found no model\.json"):
        read_card(tmp_path)
    cut = copied(model, tmp_path / "cut")
    (cut / MODEL).write_bytes((model / MODEL).read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"it has \d+ of \d+ bytes"):
        load(cut)
    lost = copied(model, tmp_path / "lost")
    (lost / MODEL).unlink()
    with pytest.raises(ModelError, match="cannot read"):
        load(lost)
    for k, (change, words) in enumerate(
        [
            ({"format": "shape network"}, "card of something else"),
            ({"version": 9}, "reads version 1"),
            ({"terms": ["colour"]}, "unknown features colour"),
            ({"terms": ["d"]}, "takes 21 features, its card names 1"),
            ({"classes": ["group 0"]}, "more classes than its card"),
        ]
    ):
        folder = copied(model, tmp_path / f"card{k}")
        card = json.loads((folder / CARD).read_text())
        (folder / CARD).write_text(json.dumps({**card, **change}))
        with pytest.raises(ModelError, match=words):
            load(folder)


class Stranger:
    """A type that no classifier is made of."""


@pytest.mark.parametrize(
    ("content", "words"),
    [(Stranger(), "do not trust it"), ({"a": 1}, "holds a dict, no classifier")],
)
def test_other_content_is_refused_even_with_the_right_hash(model, tmp_path, content, words):
    card = read_card(model)
    kept = {k: card[k] for k in ("classes", "features", "terms", "unit", "labels")}
    save(tmp_path / "other", content, kept)
    with pytest.raises(ModelError, match=words):
        load(tmp_path / "other")


def test_scales_that_do_not_meet_are_refused(model, tmp_path):
    found = load(model)
    _, uncalibrated, _ = draw(100, nm_per_px=0)
    with pytest.raises(ModelError, match="no calibration"):
        classes_of(uncalibrated, found)
    _, unshaped, _ = draw(100, shape=False)
    with pytest.raises(ModelError, match="wants p, d, l_ratio"):
        classes_of(unshaped, found)
    frames, particles, _ = draw(300, nm_per_px=0)
    learn(frames, particles, trials=2, compare=False).save(tmp_path / "px")
    in_px = load(tmp_path / "px")
    assert in_px.card["unit"] == "px"
    with pytest.raises(ModelError, match="learnt in px"):
        classes_of(draw(100)[1], in_px)
    assert (classes_of(draw(100)[1], in_px, any_scale=True)[0] != "").any()


def test_a_session_may_lack_classes_particles_and_features(learnt, model, caplog):
    frames, particles, group = draw(200, seed=5)
    reduce = Classify(str(model), read_card(model)["sha256"])
    only = particles.take(group == 1)
    p = only["p"].copy()
    p[0] = np.nan
    only = only.with_columns({"p": p, "accepted": np.ones(len(p), bool)})
    with caplog.at_level("INFO", logger="stempede"):
        made = reduce({"frames": frames, "particles": only})
    assert "no particle of this session is of class" in caplog.text
    assert "1 of" in caplog.text
    named = made["particles"]["class_name"]
    assert named[0] == ""
    assert (named[1:] == "group 1").mean() > 0.9
    none = reduce({"frames": frames, "particles": Table.empty(particles.schema)})
    assert len(none["particles"]) == 0
    assert "class_name" in none["particles"].schema.names
    with pytest.raises(RecipeError, match="not the one this recipe was made with"):
        Classify(str(model), "0" * 64)


def test_shares_of_samples_have_intervals_and_tests():
    shares = {"alpha": (0.6, 0.3, 0.1), "beta": (0.2, 0.3, 0.5)}
    frames, particles, _ = draw(1200, 24, shares=shares)
    rows = sample_groups(frames, particles).to_arrow().to_pylist()
    assert len(rows) == 9
    for sample in (None, "alpha", "beta"):
        mine = [r for r in rows if r["sample"] == sample]
        assert sum(r["fraction"] for r in mine) == pytest.approx(1.0)
    by_key = {(r["sample"], r["name"]): r for r in rows}
    first = by_key["alpha", "group 0"]
    assert first["ci_low"] < 0.6 < first["ci_high"]
    assert first["difference"] == pytest.approx(
        first["fraction"] - by_key["beta", "group 0"]["fraction"]
    )
    assert first["difference_low"] > 0
    assert first["p_holm"] < 0.05
    assert by_key["alpha", "group 1"]["p_holm"] > 0.05
    assert all(r["p_holm"] >= r["p"] for r in rows if r["p"] is not None)
    few = sample_groups(frames.take(np.arange(8)), particles.take(particles["frame"] < 8))
    assert np.isnan(few["p"]).all()
    assert np.isnan(few["ci_low"][few["sample"] == "alpha"]).all()


def test_unequal_classes_keep_rare_ones_in_a_draw():
    y = np.array([0] * 5000 + [1] * 30)
    rows = svm.some_of_each(y, 500, 0, 25)
    assert np.count_nonzero(y[rows] == 1) == 25
    assert 450 < len(rows) < 550


def test_accuracy_knows_images():
    image = np.repeat(np.arange(10), 20)
    actual = np.tile(["a", "b"], 100)
    # whole images are wrong: the interval is as wide as that of ten images
    predicted = np.where(image < 3, "c", actual)
    found = judge.accuracies(Answers(actual, predicted, image))["accuracy"]
    assert found.value == pytest.approx(0.7)
    assert found.ci_high - found.ci_low > 0.5
    assert np.isnan(
        judge.accuracies(Answers(actual[:40], predicted[:40], image[:40]))["accuracy"].ci_low
    )


def test_new_scores_replace_those_of_their_origin(learnt):
    table = learnt[0].tables["confusion"]
    other = table.with_columns({"origin": ["train sample"] * len(table)})
    both = merged(table, other)
    assert len(both) == 2 * len(table)
    assert len(merged(both, table)) == 2 * len(table)
    assert unit_of(learnt[2]) == "nm"


def test_groups_of_another_run_are_matched_before_they_are_compared(learnt, model):
    frames, particles, group = draw(300, seed=9)
    # the same three shapes under other numbers
    turned = particles.with_columns({"group": (group + 1) % 3})
    made = Classify(str(model))({"frames": frames, "particles": turned})
    rows = made["class_scores"].to_arrow().to_pylist()
    accuracy = next(r for r in rows if r["score"] == "accuracy")
    assert accuracy["value"] > 0.95
    assert "stands for the group" in accuracy["note"]
    assert "none of the two is the truth" in accuracy["says"]
