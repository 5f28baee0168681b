from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from stempede import toml
from stempede.errors import RecipeError
from stempede.recipe import Recipe, difference, shipped_names


def test_text_and_back_keeps_the_hash() -> None:
    recipe = tiny.recipe()
    again = Recipe.loads(recipe.to_toml(), folder=tiny.FILES)
    assert again.hash == recipe.hash
    assert again.entries == recipe.entries
    assert difference(recipe, again) == []


def test_defaults_written_out_do_not_change_the_hash() -> None:
    text = tiny.RECIPE.replace(
        'use = "tiny_stages.py:Smooth"', 'use = "tiny_stages.py:Smooth"\nsigma_px = 1'
    )
    assert Recipe.loads(text, folder=tiny.FILES).hash == tiny.recipe().hash


def test_name_and_version_are_for_people() -> None:
    text = tiny.RECIPE.replace('name = "tiny"', 'name = "other"\nversion = 3')
    assert Recipe.loads(text, folder=tiny.FILES).hash == tiny.recipe().hash


def test_set_takes_short_and_full_names_and_bare_words() -> None:
    changed = tiny.recipe("smooth.sigma_px=2.5", "tiny.find.above=30", "prepare_frames=2")
    smooth, find = changed.of_kind("stage")
    assert (smooth.sigma_px, find.above, changed.prepare_frames) == (2.5, 30.0, 2)
    assert changed.hash != tiny.recipe().hash
    assert changed.overrides == ("smooth.sigma_px=2.5", "tiny.find.above=30", "prepare_frames=2")


def test_difference_says_what_changed() -> None:
    changed = tiny.recipe("smooth.sigma_px=2.5", "find.raise_on=[1, 2]")
    assert difference(tiny.recipe(), changed) == [
        "tiny.smooth.sigma_px: 1.0 -> 2.5",
        "tiny.find.raise_on: [] -> [1, 2]",
    ]


def test_all_mistakes_are_raised_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        tiny.recipe(
            "smooth.sigm_px=2",
            "find.above='a'",
            "smooth.sigma_px=-1",
            "nose.x=1",
            "prepare_frames=0",
        )
    text = str(caught.value)
    assert "did you mean 'sigma_px'" in text
    assert "'above' wants a number; found 'a'" in text
    assert "stage 'nose' is none of" in text
    assert "'prepare_frames' wants greater than or equal to 1; found 0" in text


def test_range_errors_of_a_stage_are_mistakes() -> None:
    with pytest.raises(RecipeError, match=r"Smooth': sigma_px must be above 0; found -1"):
        tiny.recipe("smooth.sigma_px=-1")


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("true", "a number"), ("'2'", "a number"), ("[1]", "a number")],
)
def test_values_are_never_coerced(value: str, wanted: str) -> None:
    with pytest.raises(RecipeError, match=f"'sigma_px' wants {wanted}"):
        tiny.recipe(f"smooth.sigma_px={value}")


def test_a_stage_that_reads_what_nothing_writes() -> None:
    text = 'name = "x"\n[[stage]]\nuse = "particles.split"\n'
    with pytest.raises(RecipeError) as caught:
        Recipe.loads(text)
    assert str(caught.value) == (
        "stage 'particles.split' reads 'regions', but no earlier stage writes it; "
        "add 'particles.segment' before it"
    )


def test_unknown_stage_and_unknown_key_together() -> None:
    text = 'name = "x"\nstages = 1\n[[stage]]\nuse = "particles.splitt"\n[[stage]]\ncolour = 1\n'
    with pytest.raises(RecipeError) as caught:
        Recipe.loads(text)
    text = str(caught.value)
    assert "3 mistakes" in text
    assert "did you mean 'stage'?" in text
    assert "did you mean 'particles.split'?" in text
    assert "wants use =" in text


def test_a_stage_stands_once() -> None:
    text = tiny.RECIPE.replace("[[reduce]]", '[[stage]]\nuse = "tiny_stages.py:Smooth"\n[[reduce]]')
    with pytest.raises(RecipeError, match=r"'tiny\.smooth' stands twice"):
        Recipe.loads(text, folder=tiny.FILES)


def test_a_recipe_that_is_not_there_or_not_toml(tmp_path) -> None:
    with pytest.raises(RecipeError, match=r"particles.*'nothing' cannot be read"):
        Recipe.load("nothing")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(RecipeError, match=r"bad\.toml is not TOML"):
        Recipe.load(tmp_path / "bad.toml")


def test_the_shipped_recipe_is_packaged() -> None:
    assert "particles" in shipped_names()


JSONISH = st.recursive(
    st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\x7f")),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)


@given(JSONISH)
def test_toml_values_survive(value) -> None:
    assert tomllib.loads(f"v = {toml.write(value)}")["v"] == value
    assert toml.parse(toml.write(value)) == value
