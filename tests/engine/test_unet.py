"""The U-Net: what it takes and gives, what it learns from, and a training that goes on."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from stempede.backend import Backend
from stempede.errors import ModelError
from stempede.inference import Network, standardised
from stempede.simulate.micrograph import Population, render
from stempede.simulate.scenes import scene

torch = pytest.importorskip("torch")

from stempede.models import card, export, unet_train  # noqa: E402
from stempede.models.unet import UNet  # noqa: E402
from stempede.models.unet_folds import loaded  # noqa: E402
from stempede.models.unet_make import load, make_simulated  # noqa: E402
from stempede.models.unet_samples import Tiles, inner_distance, turned  # noqa: E402
from stempede.models.unet_train import UNetTraining, miss, train_on_simulation  # noqa: E402

TINY = UNetTraining(base=2, tiles=4, epochs=2, tile_px=32, batch=2)


@pytest.fixture(autouse=True)
def few_scenes_choose(monkeypatch):
    monkeypatch.setattr(unet_train, "_CHOOSING", 4)


def quiet(*_):
    pass


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return UNet(base=2).eval()


@pytest.mark.parametrize("shape", [(37, 53), (16, 48), (1, 5)])
def test_any_size_has_an_answer_for_each_pixel(network, shape):
    image = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    with torch.inference_mode():
        answer = network(torch.from_numpy(image))
    assert answer["probability"].shape == answer["distance"].shape == (2, *shape)
    assert 0 <= float(answer["probability"].min()) <= float(answer["probability"].max()) <= 1
    assert float(answer["distance"].min()) >= 0


def test_the_file_says_what_the_network_says_and_can_be_trained_on(network, tmp_path):
    script = export.to_script(network, freeze=False)
    text = card.unet_card(script, name="unet", particle_px=24.0, batch={"cpu": 1, "bytes": 1})
    path = export.save(script, text, tmp_path, "unet")
    image = np.random.default_rng(1).normal(size=(1, 40, 56)).astype(np.float32)
    found = Network.load(path, Backend.choose("cpu"), kind="unet")(image)
    with torch.inference_mode():
        wanted = network(torch.from_numpy(image))
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value.numpy(), atol=2e-5)
    again = load(str(path))
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


def test_weights_of_another_network_start_no_training():
    other = torch.nn.Conv2d(1, 2, 3)
    with pytest.raises(ModelError, match="stempede train unet"):
        loaded(other)


def test_standardised_images_forget_counts_and_offset():
    rng = np.random.default_rng(2)
    image = rng.normal(size=(31, 40)).astype(np.float32)
    valid = np.ones(image.shape, bool)
    valid[:4] = False
    found = standardised(image, valid)
    assert not found[:4].any()
    np.testing.assert_allclose(standardised(image * 250 + 9000, valid), found, atol=1e-3)
    assert abs(float(np.median(found[4:]))) < 1e-3
    assert not standardised(image, np.zeros_like(valid)).any()
    assert not standardised(np.full_like(image, 7), valid).any()


def test_a_distance_ends_where_particles_touch_and_not_at_the_rim():
    labels = np.zeros((1, 20, 31), np.int32)
    labels[0, 5:15, 5:15], labels[0, 5:15, 15:25] = 1, 2
    depth = inner_distance(labels)[0]
    assert not depth[labels[0] == 0].any()
    assert not depth[5:15, 14:16].any()
    alone = np.where(labels == 1, 1, 0)
    np.testing.assert_allclose(
        inner_distance(alone)[0], ndimage.distance_transform_edt(alone[0]), atol=1e-5
    )
    assert (inner_distance(np.ones((1, 8, 8), np.int32)) == 8).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 7))
def test_turned_tiles_keep_their_answers(symmetry):
    drawn = [scene(32, k) for k in range(2)]
    tiles = Tiles.of([d.image for d in drawn], [d.labels for d in drawn])
    found = turned(tiles, torch.tensor([1]), symmetry)
    assert found.masks.sum() == tiles.masks[1].sum()
    # what is turned with its labels has the distances of what it has become
    assert torch.equal(found.distances > 0, found.masks & (found.distances > 0))
    np.testing.assert_allclose(
        np.sort(found.images.ravel()), np.sort(tiles.images[1].ravel()), rtol=0
    )


def test_a_scene_is_the_same_whatever_else_is_drawn():
    one, other = scene(32, 5, seed=1), scene(32, 6, seed=1)
    again = scene(32, 5, seed=1)
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.labels, again.labels)
    assert not np.array_equal(one.image, other.image)
    assert one.image.shape == one.labels.shape == (32, 32)


def test_every_scene_has_particles_that_are_bright():
    brighter = []
    for number in range(12):
        drawn = scene(64, number, seed=2)
        inside = drawn.labels > 0
        if 0.02 < inside.mean() < 0.98:
            brighter.append(drawn.image[inside].mean() - drawn.image[~inside].mean())
    assert len(brighter) > 6
    assert np.mean(np.array(brighter) > 0) > 0.7


@pytest.mark.parametrize(
    "more", [{"support": 1.0}, {"debris": 30}, {"grain": 0.3}, {"speckle": 0.2}], ids=str
)
def test_what_lies_among_particles_changes_the_image_and_not_the_truth(more):
    plain = Population(height_px=70, width_px=90, mean_size_nm=4, scale_bar_nm=0)
    image, labels, _ = render(plain, 0, 3)
    other, same, _ = render(Population(**{**vars(plain), **more}), 0, 3)
    np.testing.assert_array_equal(labels, same)
    assert not np.array_equal(image, other)


def test_a_better_answer_has_a_smaller_loss():
    masks = torch.zeros(1, 16, 16, dtype=torch.bool)
    masks[:, 4:12, 4:12] = True
    distances = torch.from_numpy(inner_distance(masks.numpy().astype(np.int32)) / 8)
    right = torch.stack([torch.where(masks, 6.0, -6.0), distances], 1)
    wrong = torch.stack([torch.where(masks, -6.0, 6.0), distances + 1], 1)
    assert float(miss(right, masks, distances)) < 0.1 < float(miss(wrong, masks, distances))


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path):
    def stop(_, done, total, remark):
        if done == 1:
            raise KeyboardInterrupt

    whole = train_on_simulation(TINY, tmp_path, device="cpu", news=quiet)
    folder = tmp_path / "again"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        train_on_simulation(TINY, folder, device="cpu", news=stop)
    resumed = train_on_simulation(TINY, folder, device="cpu", news=quiet)
    assert [row["epoch"] for row in resumed.history] == [1, 2]
    for name, value in whole.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], value), name


def test_a_folder_of_another_training_is_refused(tmp_path):
    made = make_simulated(TINY, tmp_path, device="cpu", news=quiet, judging=2)
    text = json.loads(made.weights.with_suffix(".json").read_text())
    assert text["kind"] == "unet"
    assert text["training"]["command"].startswith("stempede train unet --base 2 ")
    assert set(text["held_out"]["jaccard"]) >= {"0.50", "0.75", "0.90"}
    assert all(path.is_file() for path in made.files)
    other = UNetTraining(base=2, tiles=4, epochs=2, tile_px=32, batch=2, seed=1)
    with pytest.raises(ModelError, match="another --out"):
        train_on_simulation(other, tmp_path, device="cpu", news=quiet)


def test_a_training_says_what_is_wrong_with_it():
    with pytest.raises(ModelError, match=r"base >= 1 .*multiple of 16"):
        UNetTraining(base=0, tile_px=40)
