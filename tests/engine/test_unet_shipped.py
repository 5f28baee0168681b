"""The shipped U-Net: its card, and what it finds on micrographs that it has not seen."""

import json

import numpy as np
import pytest

from stempede.backend import Backend
from stempede.inference import SHIPPED, Network
from stempede.particles.learned import Cuts, look
from stempede.simulate.micrograph import Population, render

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def network():
    return Network.load("unet", Backend.choose("cpu"), kind="unet")


def test_the_card_says_how_it_was_made():
    text = json.loads((SHIPPED / "unet.json").read_text())
    assert (SHIPPED / "unet.pt").stat().st_size < 16 * 2**20
    assert text["training"]["command"].startswith("stempede train unet ")
    assert "simulated scenes alone" in text["training"]["on"]
    assert text["held_out"]["jaccard"]["0.75"] > 0.5
    assert {"torch", "numpy", "python", "stempede"} <= text["versions"].keys()


@pytest.mark.parametrize("polarity", ["dark", "bright"])
def test_clear_particles_are_found_in_either_polarity(network, polarity):
    population = Population(
        height_px=200,
        width_px=251,
        pixel_size_nm=1.0,
        mean_size_nm=24.0,
        polarity=polarity,
        shapes="disc",
        contrast=0.5,
        noise="low",
        coverage=0.2,
        touching=0.0,
        contamination=0,
    )
    image, labels, _ = render(population, 0, 41)
    signed = image.astype(np.float32) * (-1 if polarity == "dark" else 1)
    valid = np.ones(image.shape, bool)
    found = look(network, signed, valid, 24.0, Cuts())
    mask, truth = found.labels > 0, labels > 0
    assert np.count_nonzero(mask & truth) > 0.75 * np.count_nonzero(mask | truth)
    assert abs(int(found.labels.max()) - int(labels.max())) <= 0.15 * labels.max()
