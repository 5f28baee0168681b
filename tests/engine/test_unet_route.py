"""The U-Net in the route: tiles, scales, labels, and weights that are not what they should be."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from stempede.backend import Backend
from stempede.errors import ModelError
from stempede.frames import FrameRecord, Frames
from stempede.inference import Network
from stempede.particles.learned import (
    Cuts,
    Look,
    at_full_size,
    factor_for,
    full_probability,
    in_tiles,
    labels_resampled,
    look_at,
    part,
    resampled,
    typical_diameter_of,
)
from stempede.particles.segment import Segment
from stempede.particles.split import Split
from stempede.recipe import Recipe

torch = pytest.importorskip("torch")

from stempede.models import card, export  # noqa: E402
from stempede.models.unet import UNet  # noqa: E402

CPU = Backend.choose("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A network of a few channels that has learnt nothing."""
    torch.manual_seed(5)
    script = export.to_script(UNet(base=2).eval(), freeze=False)
    text = card.unet_card(script, name="unet", particle_px=24.0, batch={"cpu": 1, "bytes": 1})
    return export.save(script, text, tmp_path_factory.mktemp("weights"), "unet")


@pytest.fixture(scope="module")
def network(weights):
    return Network.load(weights, CPU, kind="unet")


def discs(*places, shape=(90, 121)):
    """Distance to the outline of the disc that each pixel lies deepest in; 0 outside of all."""
    yy, xx = np.indices(shape)
    depth = np.max([r - np.hypot(yy - y, xx - x) for y, x, r in places], axis=0)
    return np.maximum(depth, 0).astype(np.float32)


@pytest.mark.parametrize("shape", [(200, 501), (417, 233)])
def test_tiles_say_what_the_whole_image_says(network, shape):
    image = np.random.default_rng(4).normal(size=shape).astype(np.float32)
    image = ndimage.gaussian_filter(image, 2) * 5
    whole = in_tiles(network, image)
    tiled = in_tiles(network, image, tile_px=256, overlap_px=160)
    for name, value in whole.items():
        assert tiled[name].shape == shape
        np.testing.assert_allclose(tiled[name], value, atol=2e-3 * max(1.0, value.max()))


def test_touching_particles_part_at_their_neck():
    depth = discs((40, 40, 20), (40, 76, 20), (75, 20, 9))
    labels = part((depth > 0).astype(np.float32), depth, Cuts())
    assert labels.max() == 3
    assert labels[40, 40] != labels[40, 76] != 0
    assert labels[75, 20] not in (0, labels[40, 40])
    assert ((labels > 0) == (depth > 0)).mean() > 0.999


def test_nothing_sure_is_no_particle():
    depth = discs((40, 40, 20))
    assert not part(np.full_like(depth, 0.7), depth, Cuts()).any()


def test_a_frame_is_brought_to_the_size_of_the_network():
    assert factor_for(24.0, 24.0) == 1
    assert factor_for(70.0, 24.0) == 3
    assert factor_for(9.0, 24.0) == 0.5
    assert factor_for(14.0, 24.0) == 1
    assert factor_for(float("nan"), 24.0) == 1


@settings(max_examples=40, deadline=None)
@given(st.integers(20, 70), st.integers(20, 70), st.sampled_from([0.5, 1.0, 2.0, 3.0, 5.0]))
def test_labels_come_back_to_where_they_were(height, width, factor):
    depth = discs((height / 2, width / 2, 8.0), shape=(height, width))
    labels = (depth > 0).astype(np.int32)
    valid = np.ones(labels.shape, bool)
    seen, known = resampled(labels.astype(np.float32), valid, factor, CPU)
    small = labels_resampled(labels, factor)
    assert seen.shape == known.shape == small.shape
    found = Look(factor, np.clip(seen, 0, 1), seen, small)
    full = at_full_size(found, labels, valid, 0.5, CPU)
    assert full.shape == labels.shape
    assert full_probability(found, labels.shape).shape == labels.shape
    # an outline moves by less than a block
    off = (full > 0) != (labels > 0)
    rim = ndimage.binary_dilation(labels > 0, iterations=int(factor + 1))
    rim &= ~ndimage.binary_erosion(labels > 0, iterations=int(factor + 1))
    assert not (off & ~rim).any()


def test_a_typical_particle_is_one_that_covers():
    labels = np.zeros((60, 60), np.int32)
    labels[5:25, 5:25], labels[40, 40], labels[50, 50] = 1, 2, 3
    assert typical_diameter_of(labels) == pytest.approx(2 * np.sqrt(400 / np.pi))
    assert np.isnan(typical_diameter_of(np.zeros((4, 5), np.int32)))


def test_what_is_not_valid_is_no_particle(network):
    image = np.random.default_rng(6).normal(size=(64, 80)).astype(np.float32)
    valid = np.ones(image.shape, bool)
    valid[40:] = False
    found = look_at(network, image, valid, 1.0, Cuts(threshold=0.01))
    assert not found.labels[40:].any()
    assert not found.probability[40:].any()


def batch_of(*images):
    stack = [np.asarray(i, np.float32) for i in images]
    records = tuple(FrameRecord(k, f"{k}", 0, i.shape, "float32") for k, i in enumerate(stack))
    frames = Frames(records, lambda record: stack[record.frame])
    return frames.read(range(len(stack)), CPU)


def test_the_stage_keeps_probabilities_and_no_frame_depends_on_another(weights):
    images = [np.random.default_rng(k).normal(size=(50, 67)) for k in range(2)]
    stage = Segment(method="unet", weights=str(weights), threshold=0.3)
    assert "probability" in stage.writes
    assert "probability" not in Segment().writes
    both, one = stage(batch_of(*images)), stage(batch_of(images[1]))
    assert both.maps["probability"].dtype == np.float32
    np.testing.assert_array_equal(both.maps["probability"][1], one.maps["probability"][0])
    np.testing.assert_array_equal(both.maps["regions"][1], one.maps["regions"][0])


def test_what_a_network_parted_is_cut_no_further():
    batch = batch_of(np.random.default_rng(0).normal(size=(40, 50)))
    dumbbell = np.zeros((1, 40, 50), np.int32)
    dumbbell[0, 10:30, 5:20], dumbbell[0, 10:30, 28:45], dumbbell[0, 19:21, 20:28] = 3, 3, 3
    frames = batch.tables["frames"].with_columns({"scale_px": np.array([17.0])})
    probability = dumbbell.astype(np.float32)
    plain = batch.with_(maps={"regions": dumbbell}, tables={"frames": frames})
    asked = plain.with_(maps={"probability": probability})
    assert Split()(plain).maps["labels"].max() == 2
    np.testing.assert_array_equal(Split()(asked).maps["labels"], dumbbell > 0)


def test_a_recipe_takes_the_method(weights):
    recipe = Recipe.load("particles").set(
        "particles.segment.method=unet", f"particles.segment.weights={weights}"
    )
    (stage,) = [s for s in recipe.of_kind("stage") if s.name == "particles.segment"]
    assert stage.method == "unet"
    stage.check()


def copied(weights, folder, **changes):
    text = json.loads(weights.with_suffix(".json").read_text()) | changes
    (folder / "unet.json").write_text(json.dumps(text))
    path = folder / "unet.pt"
    path.write_bytes(weights.read_bytes())
    return path


def test_weights_cut_short_are_refused_before_a_run(weights, tmp_path):
    path = copied(weights, tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cut short or belongs to another card"):
        Segment(method="unet", weights=str(path)).check()


def test_swapped_weights_are_refused(weights, tmp_path):
    path = copied(weights, tmp_path, kind="shape")
    with pytest.raises(ModelError, match="'unet' is wanted"):
        Segment(method="unet", weights=str(path)).check()


def test_a_card_of_another_scale_is_refused(weights, tmp_path):
    batch = batch_of(np.random.default_rng(0).normal(size=(48, 64)))
    stage = Segment(method="unet", weights=str(copied(weights, tmp_path, particle_px=None)))
    with pytest.raises(ModelError, match="names no particle_px"):
        stage(batch)
    path = copied(weights, tmp_path, pixel_scale_nm=0.5)
    with pytest.raises(ModelError, match=r"expects 0\.5 nm/px"):
        Network.load(path, CPU, kind="unet", pixel_size_nm=2.0)


@pytest.mark.parametrize("wrong", [{"threshold": 1.0}, {"threshold": 0}, {"diameter_px": -1}])
def test_parameters_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="correct them"):
        Segment(method="unet", **wrong)
