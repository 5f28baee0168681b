"""Shapes of a batch's particles: which get them, from which start, and what is missing without."""

import builtins
import importlib

import numpy as np
import pytest

from stempede.backend import Backend
from stempede.errors import ModelError, RecipeError
from stempede.frames import Batch, FrameRecord, frames_table
from stempede.particles.features import Features
from stempede.particles.shapes import Shapes
from stempede.recipe import Recipe
from stempede.simulate.superellipse import radius

SIDES = (90, 131)
PLACES = ((31.3, 34.8, 3.0, 3, 1.5), (58.9, 92.2, 8.0, 2, 1.3))


def batch_of(n=2):
    """Frames of a rounded triangle, a rectangle and something at the rim, with noise."""
    y, x = np.mgrid[: SIDES[0], : SIDES[1]]
    labels = np.zeros((n, *SIDES), np.int32)
    for k, (cy, cx, p, d, l_ratio) in enumerate(PLACES):
        theta = np.arctan2(y - cy, x - cx) - 0.4
        rim = 19 * radius(theta, np.array(p), np.array(d), np.array(l_ratio))
        labels[:, np.hypot(y - cy, x - cx) <= rim] = k + 1
    labels[:, 84:, :8] = 3
    rng = np.random.default_rng(2)
    images = (20.0 * (labels > 0) + rng.normal(0, 1, labels.shape)).astype(np.float32)
    records = tuple(FrameRecord(7 + k, "memory", 0, SIDES, "float32") for k in range(n))
    maps = {"labels": labels, "valid": np.ones(labels.shape, bool)}
    tables = {"frames": frames_table(records)}
    batch = Features()(Batch(images, records, Backend.choose("cpu"), maps, tables))
    particles = batch.tables["particles"]
    accepted = particles.with_columns({"accepted": ~particles["touches_edge"]})
    return batch.with_(tables={"particles": accepted})


def test_accepted_particles_get_their_shape_and_others_none():
    found = Shapes(start="contour")(batch_of()).tables["particles"]
    rows = found["accepted"]
    np.testing.assert_array_equal(found["d"][rows], [3, 2, 3, 2])
    np.testing.assert_allclose(found["l_ratio"][rows], [1.5, 1.3] * 2, rtol=0.05)
    assert (found["jaccard"][rows] > 0.96).all()
    assert (found["se_p"][rows] > 0).all()
    assert set(found["shape_state"][rows]) == {"converged"}
    np.testing.assert_allclose(found["shape_y_px"][rows], [31.3, 58.9] * 2, atol=0.3)
    np.testing.assert_allclose(found["shape_radius_px"][rows], 19, rtol=0.05)
    for name in ("p", "d", "l_ratio", "jaccard", "se_p", "shape_angle_deg", "p_network"):
        assert np.isnan(found[name][~rows]).all(), name
    assert not found["is_circle"].any()
    assert np.isnan(found["d_network"]).all()


def test_a_batch_without_accepted_particles_passes():
    batch = batch_of(1)
    none = batch.tables["particles"].with_columns({"accepted": np.zeros(3, bool)})
    after = Shapes(start="contour")(batch.with_(tables={"particles": none}))
    assert np.isnan(after.tables["particles"]["p"]).all()


def test_frames_alone_equal_frames_together():
    together = Shapes(start="contour")(batch_of(2)).tables["particles"]
    alone = Shapes(start="contour")(batch_of(1)).tables["particles"]
    for name in ("p", "l_ratio", "jaccard", "se_shape_angle_deg"):
        np.testing.assert_allclose(together[name][:3], alone[name], rtol=1e-9)


def test_the_network_starts_the_same_fits():
    pytest.importorskip("torch")
    stage = Shapes()
    stage.check()
    found = stage(batch_of()).tables["particles"]
    rows = found["accepted"]
    plain = Shapes(start="contour")(batch_of()).tables["particles"]
    np.testing.assert_array_equal(found["d"][rows], plain["d"][rows])
    np.testing.assert_allclose(found["jaccard"][rows], plain["jaccard"][rows], atol=0.01)
    assert np.isfinite(found["d_network"][rows]).all()
    assert (found["se_d_network"][rows] > 0).all()


def test_without_torch_the_words_say_what_to_do(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.partition(".")[0] == "torch":
            raise ImportError("no torch here")
        return real(name, *rest, **more)

    monkeypatch.setattr(importlib, "import_module", lambda name: without(name))
    with pytest.raises(ModelError, match=r"pip install torch.*particles\.shapes\.start=contour"):
        Shapes().check()
    Shapes(start="contour").check()


def test_the_shipped_recipe_has_the_stage():
    recipe = Recipe.load("particles").set("particles.shapes.start=contour")
    assert "contour" in recipe.to_toml()
    with pytest.raises(RecipeError, match="start is network or contour"):
        recipe.set("particles.shapes.start=crop")
    with pytest.raises(ModelError, match="name of a shipped one"):
        Shapes(weights="nowhere.pt").check()
