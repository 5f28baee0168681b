"""The columns route end to end through the command line: tables, page, preview, bad input."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile

from stempede.cli import main
from stempede.recipe import Recipe
from stempede.session import RunOptions, Session

LENGTHS = ("a_nm", "b_nm", "bond_mean_nm", "area_nm2")


def stempede(*arguments):
    """Run a command; return its exit status."""
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in arguments])
    return left.value.code or 0


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dots")
    options = ["--frames", 3, "--size", 330, "--dose", 2000, "--seed", 4, "--quiet"]
    changes = [x for given in ("tilt_deg=7", "n_a=5", "n_b=6") for x in ("--set", given)]
    assert stempede("simulate", "columns", "--out", folder, *options, *changes) == 0
    return folder


@pytest.fixture(scope="module")
def run(sample, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    options = ["--recipe", "columns", "--workers", 1, "--device", "cpu", "--quiet"]
    assert stempede("run", sample / "session.zarr", "--out", out, *options) == 0
    return out


def table(run, name):
    return pq.read_table(run / name).to_pandas()


def test_every_column_is_found_and_every_tilt_has_its_error(run, sample):
    truth = pq.read_table(sample / "truth" / "columns.parquet").to_pandas()
    columns = table(run, "columns")
    found = columns[columns["accepted"]]
    assert abs(len(found) - len(truth)) <= 0.01 * len(truth)
    for frame, true in truth.groupby("frame"):
        here = found[found["frame"] == frame]
        gaps = np.hypot(
            here["y_px"].to_numpy()[:, None] - true["y_px"].to_numpy(),
            here["x_px"].to_numpy()[:, None] - true["x_px"].to_numpy(),
        )
        assert np.quantile(gaps.min(axis=0), 0.98) < 1.5
        names = true["species"].to_numpy()[gaps.argmin(axis=1)]
        assert (names == here["species"].to_numpy()).mean() > 0.99
    octahedra = table(run, "octahedra")
    z = (octahedra["staggered_tilt_deg"].abs() - 7) / octahedra["se_tilt_deg"]
    assert len(octahedra) == 90
    assert 0.75 < z.std() < 1.3
    crystals = table(run, "crystals")
    mean_z = (crystals["staggered_tilt_deg"].abs() - 7) / crystals["se_staggered_tilt_deg"]
    assert (mean_z.abs() < 4).all()


def test_the_page_shows_network_layers_and_crystals(run):
    page = (run / "report.html").read_text()
    for anchor in ("network", "layers", "distributions", "crystals", "frames", "provenance"):
        assert f'id="{anchor}"' in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert list((run / "figures").glob("network-*.png"))


def test_summary_counts_columns_and_lists_tilts(sample, tmp_path, capsys):
    out = tmp_path / "run"
    given = ["--recipe", "columns", "--frames", "0:1", "--workers", 1, "--json"]
    assert stempede("run", sample / "session.zarr", "--out", out, *given) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["columns"] >= said["accepted"] > 100
    assert said["crystals"] == len(said["crystal_tilts_deg"]) == 1
    assert json.loads((out / "run.json").read_text())["counts"]["columns"] == said["columns"]


def test_preview_draws_the_network(sample, tmp_path, capsys):
    picture = tmp_path / "network.png"
    given = ["--recipe", "columns", "--frame", 1, "--out", picture]
    assert stempede("preview", sample / "session.zarr", *given) == 0
    assert picture.stat().st_size > 20_000
    assert "columns accepted" in capsys.readouterr().out


def test_runs_of_one_route_are_compared(run, capsys):
    assert stempede("compare", run, run) == 0
    assert "a_nm" in capsys.readouterr().out


def test_one_frame_at_a_time_gives_the_same_numbers(run, sample, tmp_path):
    alone = Session.open(
        sample / "session.zarr",
        "columns",
        tmp_path / "alone",
        RunOptions(workers=1),
        frames=slice(1, 2),
    )
    alone.run()
    for name in ("columns", "octahedra", "cells"):
        whole, part = table(run, name), alone.table(name).to_pandas()
        whole = whole[whole["frame"] == 1].reset_index(drop=True)
        numbers = whole.select_dtypes("number").columns
        np.testing.assert_array_equal(whole[numbers], part[numbers])


def test_without_a_pixel_size_tilts_stand_and_lengths_are_null(sample, tmp_path):
    image = Session.open(sample / "session.zarr", "columns", tmp_path / "x").frames
    pixels = image.load(image.records[0])
    tifffile.imwrite(tmp_path / "bare.tif", pixels.astype(np.uint16))
    out = tmp_path / "run"
    given = ["--recipe", "columns", "--workers", 1, "--quiet"]
    assert stempede("run", tmp_path / "bare.tif", "--out", out, *given) == 0
    octahedra, cells = table(out, "octahedra"), table(out, "cells")
    assert octahedra["tilt_deg"].notna().mean() > 0.9
    assert cells["a_px"].notna().all()
    for name in ("a_nm", "b_nm", "area_nm2"):
        assert cells[name].isna().all()
    assert octahedra["bond_mean_nm"].isna().all()


@pytest.mark.parametrize(
    ("name", "image"),
    {
        "no lattice": np.random.default_rng(0).poisson(0.3, (128, 150)),
        "a single column": np.random.default_rng(1).poisson(
            0.01 + 4 * np.exp(-((np.indices((128, 150)) - 64) ** 2).sum(axis=0) / 18)
        ),
        "one electron": np.pad(np.ones((1, 1), int), 64),
    }.items(),
)
def test_an_image_without_a_crystal_ends_with_a_word_about_it(name, image, tmp_path):
    tifffile.imwrite(tmp_path / "image.tif", image.astype(np.uint16))
    out = tmp_path / "run"
    given = ["--recipe", "columns", "--workers", 1, "--quiet", "--pixel-size-nm", 0.015]
    assert stempede("run", tmp_path / "image.tif", "--out", out, *given) in (0, 1)
    assert len(table(out, "octahedra")) == 0
    problems = table(out, "problems")
    assert len(problems) >= 1
    assert problems["reason"].str.len().min() > 10


def test_a_cell_of_ones_own_and_its_mistakes():
    text = """
    name = "mine"
    [crystal]
    name = "square"
    sites = [{species = "M", role = "B", i = 0.0, j = 0.0, brightness = 1.0}]
    [[stage]]
    use = "preprocess.counts"
    [[stage]]
    use = "columns.peaks"
    [[stage]]
    use = "columns.lattice"
    """
    recipe = Recipe.loads(text)
    assert recipe.of_kind("stage")[-1].crystal["name"] == "square"
    assert Recipe.loads(recipe.to_toml()).hash == recipe.hash
    with pytest.raises(ValueError, match="role is one of"):
        Recipe.loads(text.replace('role = "B"', 'role = "Q"'))
    with pytest.raises(ValueError, match="unknown crystal 'CsPbF3'"):
        Recipe.load("columns").set("crystal=CsPbF3")
    assert Recipe.load("columns").set("crystal=CsPbBr3").hash != Recipe.load("columns").hash
