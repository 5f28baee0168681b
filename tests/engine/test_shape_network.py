"""The shipped shape network: answers that hold, however crops lie and however they are asked."""

import json
from pathlib import Path

import numpy as np
import pytest

from stempede.backend import Backend
from stempede.cli import main
from stempede.errors import ModelError
from stempede.inference import SHIPPED, Network
from stempede.simulate.crops import training_crops

torch = pytest.importorskip("torch")

from stempede.models import checkpoint, export, heldout  # noqa: E402
from stempede.models.samples import parts  # noqa: E402
from stempede.models.shapenet import ShapeNet  # noqa: E402
from stempede.models.train import Training, train  # noqa: E402

SEED = 77
"""A series that no training of ours has seen."""


@pytest.fixture(scope="module")
def network():
    return Network.load("shape", Backend.choose("cpu"), kind="shape")


@pytest.fixture(scope="module")
def crops():
    return training_crops(512, seed=SEED)


@pytest.fixture(scope="module")
def answer(network, crops):
    return network(crops.images)


def test_the_card_says_what_the_weights_do():
    card = json.loads((SHIPPED / "shape.json").read_text())
    assert (SHIPPED / "shape.pt").stat().st_size < 5 * 2**20
    assert card["training"]["command"].startswith("stempede train shape --crops 65000")
    assert card["training"]["crops"] >= 65_000
    assert card["held_out"]["crops"] > 0.19 * card["training"]["crops"]
    assert {"torch", "numpy", "python", "stempede"} <= card["versions"].keys()


def test_the_card_keeps_its_word_on_crops_of_another_seed(network, crops, answer):
    card = network.card.text["held_out"]
    n = len(crops)
    best = answer["d_weight"].argmax(axis=1) + 1
    allowed = 3 * np.sqrt(card["d_right"] * (1 - card["d_right"]) / n)
    assert (best == crops.d).mean() > card["d_right"] - allowed
    for key, found, true in (("p", answer["p"], crops.p), ("l", answer["l_ratio"], crops.l_ratio)):
        error = np.median(np.abs(found / true - 1))
        assert error < 1.4 * card[f"median_relative_error_{key}"]


def test_answers_lie_in_their_ranges(answer):
    assert 0.3 <= answer["p"].min() < answer["p"].max() <= 20.001
    assert 1 <= answer["l_ratio"].min() < answer["l_ratio"].max() <= 5.001
    assert 1 <= answer["d"].min() < answer["d"].max() <= 6
    np.testing.assert_allclose(answer["weight"].sum(axis=1), 1, rtol=1e-5)
    pairs = answer["weight"].reshape(-1, 6, 2).sum(axis=2)
    np.testing.assert_allclose(answer["d_weight"], pairs, rtol=1e-5)
    low, high = answer["start_p"][:, ::2], answer["start_p"][:, 1::2]
    assert low.max() <= 2.0001 <= high.min() + 0.0002
    for name in ("se_log_p", "se_d", "se_log_l"):
        assert np.isfinite(answer[name]).all()
        assert answer[name].min() >= 0


def test_batches_and_threads_do_not_show(network, crops, answer):
    threads = torch.get_num_threads()
    try:
        for count, batch in ((1, 5), (2, 64)):
            torch.set_num_threads(count)
            other = Network(network.card, network.module, network.backend, batch)
            for name, value in other(crops.images[:70]).items():
                np.testing.assert_allclose(value, answer[name][:70], rtol=2e-3, atol=2e-4)
    finally:
        torch.set_num_threads(threads)


def test_an_offset_of_the_support_does_not_count(network, crops, answer):
    slope = np.linspace(-3, 3, 44, dtype=np.float32)
    other = network(crops.images[:64] + 12 + slope[:, None] - 2 * slope)
    for name in ("p", "d", "l_ratio", "d_weight"):
        np.testing.assert_allclose(other[name], answer[name][:64], rtol=5e-3, atol=5e-3)


def test_turned_crops_keep_their_shape_within_the_stated_error(network, crops, answer):
    for angle in (90.0, 37.0):
        other = network(heldout.turned(crops.images, angle))
        for name, key in (("p", "log_p"), ("l_ratio", "log_l")):
            change = np.abs(np.log(other[name] / answer[name]))
            assert (change <= answer[f"se_{key}"]).mean() > 0.9
        same = other["d_weight"].argmax(axis=1) == answer["d_weight"].argmax(axis=1)
        assert same.mean() > 0.96


def test_a_mirror_image_has_the_same_shape(network, crops, answer):
    other = network(np.ascontiguousarray(crops.images[:, :, ::-1]))
    same = other["d_weight"].argmax(axis=1) == answer["d_weight"].argmax(axis=1)
    # one or two in a hundred lie between two symmetries
    assert same.mean() > 0.95


def test_a_circle_is_not_claimed_to_have_a_symmetry(network):
    y, x = np.mgrid[:44, :44] - 21.5
    disc = 20 * np.clip(17 - np.hypot(y, x) + 0.5, 0, 1)
    noise = np.random.default_rng(0).normal(size=(16, 44, 44))
    found = network((disc + noise).astype(np.float32))
    assert np.median(found["d_weight"].max(axis=1)) < 0.9
    assert np.median(found["se_d"]) > 0.3


def test_turning_by_quarters_is_exact():
    image = np.arange(2 * 44 * 44, dtype=np.float32).reshape(2, 44, 44)
    once = heldout.turned(image, 90)
    np.testing.assert_array_equal(np.rot90(once, 3, axes=(1, 2)), image)
    # a resampled turn and its opposite give the middle back
    smooth = np.exp(-((np.mgrid[:44, :44] - 20.0) ** 2).sum(axis=0) / 60)[None].astype(np.float32)
    there = heldout.turned(heldout.turned(smooth, 33.0), -33.0)
    np.testing.assert_allclose(there[:, 12:32, 12:32], smooth[:, 12:32, 12:32], atol=0.02)


def test_parts_share_no_block_and_leave_nothing_out():
    learn, choose, judge = parts(65_000)
    assert learn[0] == 0
    assert learn[1] == choose[0]
    assert choose[0] + choose[1] == judge[0]
    assert judge[0] + judge[1] == 65_000
    assert learn[1] % 128 == choose[0] % 128 == judge[0] % 128 == 0
    assert learn[1] / 65_000 == pytest.approx(0.7, abs=0.01)


class Stop(Exception):
    pass


def stop_after(epochs):
    def news(phase, done, total, remark):
        if phase == "training" and done == epochs:
            raise Stop

    return news


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path):
    training = Training(crops=1280, epochs=2, seed=4)
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    whole.mkdir()
    parted.mkdir()
    wanted = train(training, whole, device="cpu", news=lambda *_: None)
    with pytest.raises(Stop):
        train(training, parted, device="cpu", news=stop_after(1))
    found = train(training, parted, device="cpu", news=lambda *_: None)
    assert [row["epoch"] for row in found.history] == [1, 2]
    for name, value in wanted.network.state_dict().items():
        torch.testing.assert_close(found.network.state_dict()[name], value, rtol=1e-4, atol=1e-5)
    with pytest.raises(ModelError, match="belongs to a training with"):
        train(Training(crops=1280, epochs=2, seed=5), parted, device="cpu", news=lambda *_: None)
    (parted / checkpoint.NAME).write_bytes(b"broken")
    with pytest.raises(ModelError, match="delete it to start again"):
        train(training, parted, device="cpu", news=lambda *_: None)


def test_the_command_writes_weights_that_load_their_card_and_diagnostics(tmp_path, capsys):
    out = tmp_path / "made"
    with pytest.raises(SystemExit) as left:
        main(["train", "shape", "--out", str(out), "--crops", "1280", "--epochs", "1", "--json"])
    assert left.value.code == 0
    card = json.loads(capsys.readouterr().out)
    assert card["training"]["command"] == "stempede train shape --crops 1280 --epochs 1 --seed 0"
    assert card["held_out"]["crops"] == sum(map(sum, card["held_out"]["confusion"])) == 256
    network = Network.load(out / "shape.pt", Backend.choose("cpu"), kind="shape")
    assert network.card.text["held_out"]["d_right"] == card["held_out"]["d_right"]
    for name in ("learning", "quantiles", "rmse", "calibration", "confusion"):
        for ending in ("png", "svg", "csv"):
            assert (out / "diagnostics" / f"{name}.{ending}").stat().st_size > 40


def test_bad_trainings_are_refused():
    with pytest.raises(ModelError, match=r"crops >= 1280 \(found 10\), epochs >= 1 \(found 0\)"):
        Training(crops=10, epochs=0)
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="use --device cpu"):
            train(Training(crops=1280), None, device="gpu", news=lambda *_: None)


def test_an_exported_network_carries_no_paths():
    script = export.to_script(ShapeNet())
    assert b"shapenet.py" not in script
    assert str(Path(export.__file__).parents[2]).encode() not in script
