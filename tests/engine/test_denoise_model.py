"""The denoising network: its samples, its training, its files."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stempede.backend import Backend  # noqa: E402
from stempede.cli import main  # noqa: E402
from stempede.errors import ModelError  # noqa: E402
from stempede.inference import Network, check  # noqa: E402
from stempede.models import card, denoise, export  # noqa: E402
from stempede.models.denoise_net import DenoiseNet  # noqa: E402
from stempede.models.denoise_samples import CROP, SIDE, draw, scenes  # noqa: E402
from stempede.models.denoise_train import Training, train  # noqa: E402
from stempede.preprocess.denoise_network import trainable  # noqa: E402
from stempede_kernels.blind_spots import shown  # noqa: E402

CPU = Backend.choose("cpu")
FEW = Training(scenes=16, epochs=2, seed=3)
BRIEF = {"steps": 2, "judged": 4}


def silent(*_):
    pass


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    torch.manual_seed(0)
    script = export.to_script(DenoiseNet(), freeze=False)
    text = card.denoise_card(script, batch={"cpu": 1, "bytes": 1})
    weights = export.save(script, text, tmp_path_factory.mktemp("net"), "denoise")
    return trainable(str(weights), CPU)


def test_scenes_are_those_of_their_number_and_not_of_one_kind():
    pool = scenes(12, seed=5)
    assert pool.shape == (12, SIDE, SIDE)
    assert (pool >= 0).all()
    np.testing.assert_array_equal(pool[:3], scenes(3, seed=5))
    contrast = pool.max(axis=(1, 2)) / np.median(pool, axis=(1, 2))
    assert contrast.max() / contrast.min() > 3


def test_samples_want_what_their_counts_mean():
    # one scene without structure: the mean of what is seen is what is wanted
    flat = np.full((1, SIDE, SIDE), 0.02, np.float32)
    samples = draw(flat, 40, np.random.default_rng(0))
    assert samples.seen.shape == (40, CROP, CROP)
    assert np.ptp(samples.wanted, axis=(1, 2)).max() < 1e-4
    off = samples.seen.mean(axis=(1, 2)) - samples.wanted[:, 0, 0]
    # in units of the noise; what the closed form of the inverse misses is 2 % of it
    assert abs(np.median(off)) < 0.03


@pytest.mark.parametrize("run", [1, 3, 5])
def test_masks_hide_their_share_in_runs_along_rows(run):
    mask = shown((4, 200, 301), np.random.default_rng(1), share=0.3, run=run)
    assert set(np.unique(mask)) == {0.0, 1.0}
    assert 1 - mask[..., run:].mean() == pytest.approx(0.3, abs=0.02)
    hidden = 1 - mask
    along = (hidden[..., 1:] * hidden[..., :-1]).mean() / hidden.mean()
    across = (hidden[:, 1:] * hidden[:, :-1]).mean() / hidden.mean()
    assert across == pytest.approx(0.3, abs=0.03)
    assert along == pytest.approx(0.3, abs=0.03) if run == 1 else along > 0.6


@pytest.mark.parametrize("shape", [(1, 5, 7), (2, 64, 64), (1, 97, 130)])
def test_any_shape_comes_back(untrained, shape):
    answer = untrained(torch.randn(shape))["denoised"]
    assert tuple(answer.shape) == shape
    assert torch.isfinite(answer).all()


def test_hidden_pixels_are_not_seen(untrained):
    image = torch.randn(1, 48, 56)
    keep = torch.from_numpy(shown((1, 48, 56), np.random.default_rng(0)))
    other = torch.where(keep > 0, image, torch.full_like(image, 50.0))
    torch.manual_seed(1)
    one = untrained.guess(image, keep)
    torch.manual_seed(1)
    torch.testing.assert_close(untrained.guess(other, keep), one)


def test_what_is_seen_reaches_no_further_than_64_px(untrained):
    image = torch.zeros(1, 256, 200)
    spot = image.clone()
    spot[0, 130, 100] = 100.0
    changed = (untrained(image)["denoised"] != untrained(spot)["denoised"])[0]
    rows, columns = np.nonzero(changed.numpy())
    assert len(rows)
    assert abs(rows - 130).max() < 64
    assert abs(columns - 100).max() < 64


def test_interrupted_training_goes_on_as_if_it_never_stopped(tmp_path):
    (tmp_path / "a").mkdir()
    whole = train(FEW, tmp_path / "a", news=silent, **BRIEF)
    (tmp_path / "b").mkdir()

    def stop(phase, done, *_):
        if phase == "training" and done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(FEW, tmp_path / "b", news=stop, **BRIEF)
    again = train(FEW, tmp_path / "b", news=silent, **BRIEF)
    assert again.history == whole.history
    other = Training(scenes=16, epochs=2, seed=4)
    with pytest.raises(ModelError, match="belongs to a training"):
        train(other, tmp_path / "b", news=silent, **BRIEF)


def test_training_writes_weights_and_a_card_that_belong_together(tmp_path):
    made = denoise.make(FEW, tmp_path, news=silent, **BRIEF)
    text = check(made.weights, kind="denoise").text
    assert text["held_out"]["samples"] > 0
    assert text["training"]["command"].startswith("stempede train denoise --scenes 16")
    network = Network.load(made.weights, CPU, kind="denoise")
    assert network(np.zeros((1, 40, 30), np.float32))["denoised"].shape == (1, 40, 30)
    # a session trains it on: its weights are no constants
    parameters = list(trainable(str(made.weights), CPU).parameters())
    assert 0 < sum(p.numel() for p in parameters) <= 500_000


def test_command_says_what_is_wrong(capsys, monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match="2"):
        main(["train", "denoise", "--scenes", "3"])
    assert "greater than or equal to 16" in capsys.readouterr().err
    made = denoise.Made(
        tmp_path / "denoise.pt", {"held_out": {"samples": 9, "error_over_best_blur": 0.5}}, []
    )
    asked = {}

    def make(training, folder, *, news):
        asked.update(training=training, folder=folder)
        return made

    monkeypatch.setattr(denoise, "make", make)
    with pytest.raises(SystemExit, match="0"):
        main(["train", "denoise", "--epochs", "2", "--out", str(tmp_path / "n"), "-q"])
    assert asked["training"] == Training(epochs=2)
    assert asked["folder"] == tmp_path / "n"
    with pytest.raises(ModelError, match="epochs >= 1"):
        Training(epochs=0)
