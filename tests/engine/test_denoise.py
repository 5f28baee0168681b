"""Denoising: a map to find columns on, which makes nothing up and leaves the counts alone."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from lattice_frames import batch_of, dot_frame, points
from scipy.spatial import cKDTree

from stempede import inference
from stempede.backend import Backend
from stempede.columns.peaks import Peaks
from stempede.errors import ModelError, RecipeError
from stempede.frames import FrameRecord, Frames
from stempede.pipeline import Pipeline
from stempede.preprocess import denoise_network
from stempede.preprocess.counts import Counts
from stempede.preprocess.denoise import Denoise
from stempede.preprocess.denoise_filters import blur_width, non_local, spread, summed
from stempede.preprocess.denoise_network import View
from stempede.preprocess.denoise_noise import FrameNoise, noise_of
from stempede.preprocess.denoise_self import Denoiser
from stempede.recipe import Recipe
from stempede.simulate.columns import Scan, Scene, render

CPU = Backend.choose("cpu")
METHODS = ("gaussian", "nlm", "pretrained")
BRIEF = Denoiser(steps=4, minutes=3.0)
POISSON = FrameNoise(counted=True, read=0.0, variance=0.0)


def expected_image(shape=(150, 171), edge=14.0, sigma=2.5, electrons=60.0):
    y, x = np.indices(shape)
    image = np.full(shape, 0.02)
    for cy in np.arange(edge, shape[0] - 8, edge):
        for cx in np.arange(edge, shape[1] - 8, edge):
            image += np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * sigma**2))
    return (image - 0.02) * electrons / (2 * np.pi * sigma**2) + 0.02


def noise_alone(shape=(192, 211), level=0.06, seed=0):
    return np.random.default_rng(seed).poisson(level, shape).astype(np.float32)


def error(found, mean):
    return float(np.mean((found - mean) ** 2))


def strongest_period(image):
    """Power of the strongest wave in an image."""
    return float((np.abs(np.fft.rfft2(image - image.mean())) ** 2).max())


@pytest.mark.parametrize("method", METHODS)
def test_map_is_nearer_to_the_truth_than_the_counts(method):
    mean = expected_image()
    counts = np.random.default_rng(1).poisson(mean).astype(np.float32)
    batch = Denoise(method)(batch_of(counts))
    found = batch.maps["denoised"]
    assert found.shape == (1, 150, 171)
    assert found.dtype == np.float32
    # patches of few electrons tell non-local means little
    assert error(found[0], mean) < (0.5 if method == "nlm" else 0.1) * error(counts, mean)
    assert found.mean() == pytest.approx(counts.mean(), rel=0.4 if method == "nlm" else 0.05)
    np.testing.assert_array_equal(batch.maps["electrons"][0], counts)
    np.testing.assert_array_equal(batch.images[0], counts)


def test_network_knows_more_than_the_best_blur():
    mean = expected_image(electrons=300.0)
    mean[:, 80:] = 0.02
    counts = np.random.default_rng(2).poisson(mean).astype(np.float32)
    blur, network = (
        error(Denoise(m)(batch_of(counts)).maps["denoised"][0], mean)
        for m in ("gaussian", "pretrained")
    )
    assert network < 0.75 * blur


def test_recipe_takes_the_preparation_of_a_session():
    text = Recipe.load("columns").to_toml() + '\n[[prepare]]\nuse = "preprocess.denoiser"\n'
    recipe = Recipe.loads(text).set("denoise.method=self", "denoiser.steps=20")
    assert [p.steps for p in recipe.of_kind("prepare")] == [20]


def test_none_is_the_default_and_writes_nothing():
    batch = batch_of(noise_alone())
    assert Denoise()(batch) is batch
    recipe = Recipe.load("columns")
    parameters = next(e.parameters for e in recipe.entries if e.name == "preprocess.denoise")
    assert parameters["method"] == "none"


@pytest.mark.parametrize("method", METHODS)
def test_frame_of_noise_stays_empty(method):
    counts = noise_alone()
    batch = Denoise(method)(batch_of(counts))
    found = batch.maps["denoised"][0]
    # what is left varies less than white noise blurred by two pixels would
    assert found.std() < counts.std() / (4 * np.pi * 2**2) ** 0.5
    assert strongest_period(found) <= strongest_period(counts)
    plain, shown = (Peaks(sigma_px=3.0)(b).tables["peaks"] for b in (batch_of(counts), batch))
    strong = [np.sum(t["significance"] > 3) for t in (plain, shown)]
    assert strong[1] <= strong[0]


def test_disorder_stays_disorder():
    scan = Scan(220, 231, 0.015, 500.0)
    scene = Scene((), scan, amorphous=14)
    image, _ = render(scene, 0, seed=4)
    found = Denoise("pretrained")(batch_of(np.asarray(image, np.float32))).maps["denoised"][0]
    clean = np.asarray(render(Scene((), Scan(220, 231, 0.015, 5e5), 14), 0, seed=4)[0], float)
    assert strongest_period(found) < 1.05 * strongest_period(image)
    assert np.corrcoef(found.ravel(), clean.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("method", METHODS)
def test_places_found_on_the_map_are_weighed_by_the_counts(method):
    electrons, truth = dot_frame(300.0, cells=(4, 4))
    plain = Peaks()(batch_of(electrons)).tables["peaks"]
    shown = Peaks()(Denoise(method)(batch_of(electrons))).tables["peaks"]
    true = points(truth["truth_columns"])
    for peaks in (plain, shown):
        off, _ = cKDTree(points(peaks)).query(true)
        assert np.mean(off * 0.15 < 1.0) > 0.93
    off, own = cKDTree(points(plain)).query(points(shown))
    same = off < 1e-9
    assert same.mean() > 0.1
    # read at a pixel beside the counts' own maximum it is less, never more
    assert (shown["significance"][same] <= plain["significance"][own[same]] + 1e-6).all()


@pytest.mark.parametrize("method", METHODS)
def test_answer_does_not_depend_on_the_rest_of_the_batch(method):
    one, two = noise_alone(seed=1), noise_alone(level=0.5, seed=2)
    both = Denoise(method)(batch_of(np.stack([one, two]))).maps["denoised"]
    np.testing.assert_array_equal(both[1], Denoise(method)(batch_of(two)).maps["denoised"][0])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0.0, 7.0])
def test_frames_of_one_value_stay_what_they_are(method, value):
    found = Denoise(method)(batch_of(np.full((60, 71), value, np.float32)))
    np.testing.assert_allclose(found.maps["denoised"], value, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_normalised_floats_are_denoised_in_their_units_and_said_to_be_none(method):
    mean = expected_image()
    counts = np.random.default_rng(1).poisson(mean)
    shown = (counts / counts.max()).astype(np.float32)
    batch = Denoise(method)(batch_of(shown))
    assert "its values are no counts" in batch.problems[0].reason
    assert "counts.noise=gaussian" in batch.problems[0].reason
    found = batch.maps["denoised"][0]
    assert error(found, mean / counts.max()) < 0.5 * error(shown, mean / counts.max())
    assert not Denoise(method)(batch_of(shown, noise="gaussian")).problems


def test_pixels_that_are_not_valid_do_not_matter():
    counts = noise_alone(level=0.4)
    burnt = counts.copy()
    burnt[:20, :50] = np.nan
    found = Denoise("pretrained")(batch_of(burnt)).maps["denoised"]
    assert np.isfinite(found).all()
    whole = Denoise("pretrained")(batch_of(counts)).maps["denoised"]
    np.testing.assert_allclose(found[0, 100:], whole[0, 100:], atol=0.03)


@pytest.mark.parametrize("dose", [100.0, 3000.0])
def test_blur_width_loses_least(dose):
    mean = expected_image(electrons=dose / 10)
    counts = np.random.default_rng(3).poisson(mean).astype(np.float32)
    noise, doubt = noise_of(batch_of(counts), 0, counts)
    assert not doubt
    width = blur_width(counts, noise, CPU)
    own, less, more = (
        error(CPU.ndimage.gaussian_filter(counts, w, mode="wrap"), mean)
        for w in (width, width / 1.5, width * 1.5)
    )
    assert own < min(less, more)


def test_sums_over_blocks_come_back_where_they_were():
    y, x = np.indices((61, 73))
    image = (5 + np.sin(y / 9) + np.cos(x / 11)).astype(np.float32)
    for factor in (1, 2, 3):
        back = spread(summed(image, factor, np), factor, image.shape, CPU)
        assert back.shape == image.shape
        assert abs(back - image)[4:-4, 4:-4].max() < 0.02
    noise = FrameNoise(counted=True, read=0.2, variance=5.0)
    assert non_local(image, noise, 2.3, CPU).shape == image.shape


def test_strips_give_what_the_whole_does(monkeypatch):
    counts = np.random.default_rng(0).poisson(0.5, (310, 90)).astype(np.float32)
    whole = Denoise("pretrained")(batch_of(counts)).maps["denoised"]
    monkeypatch.setattr(denoise_network, "_ROWS", 104)
    strips = Denoise("pretrained")(batch_of(counts)).maps["denoised"]
    np.testing.assert_allclose(strips, whole, atol=1e-5)


def test_wide_columns_are_summed_before_the_network_sees_them():
    image = np.random.default_rng(0).poisson(0.2, (83, 97)).astype(np.float32)
    view = View.of(image, POISSON, 6.0, CPU)
    assert view.factor == 2
    assert view.values.shape == (42, 49)
    assert view.back(view.values, CPU).shape == image.shape


def test_map_is_kept_where_one_is_written():
    image = np.random.default_rng(0).poisson(expected_image()).astype(np.uint16)
    record = FrameRecord(0, "/a.tif", 0, image.shape, "uint16")
    frames = Frames((record,), lambda _: image)
    outcome = Pipeline((Counts(), Denoise("gaussian"))).measure(
        frames, frames.read([0], CPU), keep=("denoised",)
    )
    assert outcome.maps["denoised"].shape == (1, *image.shape)
    with pytest.raises(RecipeError, match="map 'denoised' is to be kept"):
        Pipeline((Counts(), Denoise())).measure(frames, frames.read([0], CPU), keep=("denoised",))


@pytest.fixture(scope="module")
def session():
    stack = [np.random.default_rng(k).poisson(expected_image()) for k in range(2)]
    return [batch_of(s.astype(np.float32)[:120, :131], first=k) for k, s in enumerate(stack)]


@pytest.fixture(scope="module")
def adapted(session):
    return BRIEF(session)


def test_adapting_gives_the_same_weights_for_the_same_seed(session, adapted):
    assert json.loads(json.dumps(adapted)) == adapted
    assert BRIEF(session) == adapted
    assert adapted["frames"] == 2
    assert adapted["loss"] <= adapted["loss_shipped"]


def test_adapted_answers_are_the_same_twice_and_near_the_truth(session, adapted):
    batch = replace(session[0], prepared={Denoiser.name: adapted})
    one, two = (Denoise("self", passes=3)(batch).maps["denoised"] for _ in range(2))
    np.testing.assert_array_equal(one, two)
    mean = expected_image()[:120, :131]
    assert error(one[0], mean) < 0.25 * error(batch.maps["electrons"][0], mean)


def test_self_without_its_preparation_says_what_to_add(session):
    with pytest.raises(ModelError, match=r"\[\[prepare\]\] use = \"preprocess.denoiser\""):
        Denoise("self")(session[0])


def test_frames_of_nothing_leave_the_shipped_weights():
    found = BRIEF([batch_of(np.zeros((60, 71), np.float32))])
    assert found["frames"] == found["steps"] == 0
    assert found["weights"]


def test_time_that_is_over_stops_the_adapting(session):
    assert Denoiser(steps=50, minutes=1e-9)(session)["steps"] == 1


def test_wrong_parameters_are_named():
    with pytest.raises(RecipeError, match="method is one of"):
        Denoise("bm3d")
    with pytest.raises(RecipeError, match="passes at least 1"):
        Denoise(passes=0)
    with pytest.raises(RecipeError, match="steps >= 1"):
        Denoiser(steps=0)


def test_missing_torch_is_said_before_the_first_frame(monkeypatch):
    def gone(name):
        raise ImportError(f"No module named '{name}'")

    monkeypatch.setattr(inference.importlib, "import_module", gone)
    with pytest.raises(ModelError, match=r"pip install torch, or choose .*denoise.method=gaussian"):
        Denoise("pretrained").check()
    Denoise("nlm").check()


def test_weights_cut_short_or_swapped_are_refused(tmp_path):
    for end in ("pt", "json"):
        shutil.copy(inference.SHIPPED / f"denoise.{end}", tmp_path / f"mine.{end}")
    weights = tmp_path / "mine.pt"
    Denoise("pretrained", weights=str(weights)).check()
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cut short or belongs to another card"):
        Denoise("pretrained", weights=str(weights)).check()
    with pytest.raises(ModelError, match="a network of kind 'denoise' is wanted"):
        Denoise("self", weights="shape").check()
