from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest

from simulated import micrographs
from stempede.errors import RecipeError
from stempede.recipe import Recipe
from stempede.session import RunOptions, Session

STAGE = """
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Bright:
    above: float = {above}
    name: ClassVar[str] = "bright"
    reads: ClassVar[tuple[str, ...]] = ("images",)
    writes: ClassVar[tuple[str, ...]] = ("mask",)

    def __call__(self, batch):
        return batch.with_(maps={{"mask": batch.images > self.above}})
"""

RECIPE = 'name = "mine"\n[[stage]]\nuse = "my_file.py:Bright"\n'


def written(folder, text: str) -> Recipe:
    (folder / "my_file.py").write_text(text)
    (folder / "mine.toml").write_text(RECIPE)
    return Recipe.load(folder / "mine.toml")


def test_a_class_beside_the_recipe(tmp_path) -> None:
    recipe = written(tmp_path, STAGE.format(above=3))
    assert recipe.of_kind("stage")[0].above == 3
    assert recipe.set("bright.above=5").of_kind("stage")[0].above == 5.0


def test_the_text_of_the_file_is_part_of_the_hash(tmp_path) -> None:
    before = written(tmp_path, STAGE.format(above=3)).hash
    assert written(tmp_path, STAGE.format(above=3) + "# a word\n").hash != before
    assert written(tmp_path, STAGE.format(above=3)).hash == before


def test_the_place_of_the_file_is_not(tmp_path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one, other = (written(tmp_path / n, STAGE.format(above=3)) for n in ("a", "b"))
    assert one.hash == other.hash


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", "no such class"),
        ("class Bright:\n    name = 'b'", "none of reads, writes"),
        ("import nothing_like_it", "ModuleNotFoundError"),
        ("class Bright(:", "SyntaxError"),
    ],
)
def test_a_file_that_does_not_fit(tmp_path, text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        written(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path) -> None:
    with pytest.raises(RecipeError, match="names a file that is not there"):
        Recipe.loads(RECIPE, folder=tmp_path)


def test_the_stage_of_the_documentation_runs(tmp_path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "own-stage.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (entry,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    shipped = (resources.files("stempede") / "recipes" / "particles.toml").read_text("utf-8")
    (tmp_path / "bright_core.py").write_text(code)
    (tmp_path / "my.toml").write_text(shipped.replace("[[reduce]]", entry + "\n[[reduce]]", 1))
    options = RunOptions(device="cpu", workers=1)
    plain = Session("particles", micrographs(2), tmp_path / "plain", options)
    mine = Session(tmp_path / "my.toml", micrographs(2), tmp_path / "mine", options)
    plain.run()
    mine.run()
    before, after = plain.table("particles"), mine.table("particles")
    assert repr(mine.pipeline).endswith("shapes → bright_core")
    assert (after["accepted"] == (before["accepted"] & (before["contrast"] >= 4))).all()
    assert len(after) > 5
