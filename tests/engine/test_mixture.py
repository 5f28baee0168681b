"""Mixed populations: groups of known shape, their presets and their mistakes."""

import numpy as np
import pytest
from typer.testing import CliRunner

from stempede.cli import app
from stempede.errors import InputError
from stempede.simulate.micrograph import frames
from stempede.simulate.mixture import Group, Mixture, draw_members, load_mixture, presets

SMALL = {"height_px": 360, "width_px": 430}


@pytest.mark.parametrize("name", presets())
def test_each_preset_renders_its_groups_and_says_which_is_which(name):
    mixture = load_mixture(name, {**SMALL, "coverage": 0.1})
    for image, labels, truth in frames(mixture, 2, seed=1):
        assert image.shape == labels.shape == (360, 430)
        named = np.array([g.name for g in mixture.groups])[truth["group"]]
        assert named.tolist() == truth["shape"].tolist()
        symmetry = np.array([g.d for g in mixture.groups])[truth["group"]]
        assert np.array_equal(symmetry, truth["d"])


def test_members_have_the_sizes_and_shapes_of_their_group():
    groups = (Group("rod", 1, 6.0, 2, 2.5, 20.0, 0.2, 0.1, 0.05), Group("disc", 3))
    group = np.repeat([0, 1], 40_000)
    z = np.random.default_rng(0).standard_normal((len(group), 3))
    parameters, sizes = draw_members(groups, group, z)
    assert sizes[group == 0].mean() == pytest.approx(20.0, rel=0.01)
    assert sizes[group == 0].std() == pytest.approx(4.0, rel=0.03)
    assert np.median(parameters[group == 0], axis=0) == pytest.approx([6.0, 2.0, 2.5], rel=0.01)
    assert np.log(parameters[group == 0, 0]).std() == pytest.approx(0.1, rel=0.03)
    # an elongation cannot fall below that of a circle
    assert parameters[:, 2].min() >= 1.0


def test_shares_and_moments_are_those_of_all_groups_together():
    mixture = Mixture(groups=(Group("a", 3, size_nm=10.0), Group("b", 1, size_nm=30.0)))
    drawn = mixture.draw(60_000, np.random.default_rng(1))
    assert np.bincount(drawn.group) / 60_000 == pytest.approx([0.75, 0.25], abs=0.01)
    assert mixture.mean_size_nm == pytest.approx(15.0)
    assert drawn.sizes_nm.mean() == pytest.approx(15.0, rel=0.03)
    assert drawn.sizes_nm.std() == pytest.approx(mixture.relative_sd * 15.0, rel=0.03)
    assert drawn.sizes_nm.max() < mixture.reach_px * mixture.pixel_size_nm


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", "wants .frame. and"),
        ("[frame]\ncount = 3", "found none"),
        ("[frame]\nmean_size_nm = 3\n[[group]]", "no field mean_size_nm"),
        ("[[group]]\np = 0", "p must be in"),
        ("[[group]]\nd = 2.5\nl_ratio = 0.5", "d is 1 to 6; l_ratio"),
        ("[[group]]\nsize = 3", "no field size"),
        ("[[group]]\np = 'much'", "wants numbers"),
        ("[[group", "is not TOML"),
        ("group = 3", "as tables"),
    ],
)
def test_mistakes_in_a_file_are_told(tmp_path, text, said):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=said):
        load_mixture(file)


def test_an_unknown_mixture_lists_those_that_ship():
    with pytest.raises(InputError, match="four, one, session"):
        load_mixture("nothing")


def test_the_command_writes_a_session_with_groups_in_its_truth(tmp_path):
    import pyarrow.parquet as pq

    out = tmp_path / "made"
    words = ["simulate", "particles", "--mixture", "four", "--size", "300", "--frames", "2"]
    done = CliRunner().invoke(app, [*words, "--out", str(out), "--quiet", "--set", "touching=0"])
    assert done.exit_code == 0, done.output
    truth = pq.read_table(out / "truth" / "particles.parquet").to_pydict()
    assert set(truth["group"]) <= {0, 1, 2, 3}
    assert not any(truth["touching"])
    assert (out / "session.zarr").is_dir()
