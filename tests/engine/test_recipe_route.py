"""Route: what a list of stages lacks, makes, and leaves in a run."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from stempede.backend import Backend
from stempede.errors import RecipeError
from stempede.frames import Batch, FrameRecord, Frames
from stempede.pipeline import Pipeline
from stempede.recipe import Recipe
from stempede.route import kept, tables_of, unwritten
from stempede.tables import Field, Schema, Table, declare

NOTES = declare(
    Schema("route_test_notes", (Field("frame", "int64"), Field("mean", "float64")), internal=True)
)


@dataclass(frozen=True)
class Takes:
    """Writes an internal table and a map."""

    name: ClassVar[str] = "takes"
    reads: ClassVar[tuple[str, ...]] = ("images",)
    writes: ClassVar[tuple[str, ...]] = ("route_test_notes", "halved")

    def __call__(self, batch: Batch) -> Batch:
        rows = {"frame": batch.frames, "mean": np.asarray(batch.images).mean((1, 2))}
        tables = {NOTES.name: Table(NOTES, rows)}
        return batch.with_(maps={"halved": batch.images / 2}, tables=tables)


@dataclass(frozen=True)
class Sums:
    """Reads the internal table once per run."""

    name: ClassVar[str] = "sums"
    reads: ClassVar[tuple[str, ...]] = ("route_test_notes",)
    writes: ClassVar[tuple[str, ...]] = ()


def frames() -> Frames:
    records = tuple(FrameRecord(k, f"/{k}", 0, (9, 11), "uint8") for k in range(3))
    ramp = np.arange(99, dtype=np.uint8).reshape(9, 11)
    return Frames(records, lambda record: ramp + np.uint8(record.frame))


@pytest.mark.parametrize(
    ("stages", "wanted"),
    [
        (["columns.lattice"], ["'peaks', but no earlier stage writes it; add 'columns.peaks'"]),
        (["columns.fit"], ["'columns'", "add 'columns.lattice'"]),
        (["columns.species"], ["'columns'", "add 'columns.lattice'"]),
        (["columns.halides"], ["'octahedra'", "add 'columns.octahedra'"]),
        (["particles.accept"], ["'particles'", "add 'particles.features'"]),
    ],
)
def test_the_hint_names_a_stage_that_can_stand_before(stages, wanted):
    text = 'name = "x"\n' + "".join(f'[[stage]]\nuse = "{s}"\n' for s in stages)
    with pytest.raises(RecipeError) as caught:
        Recipe.loads(text)
    assert all(words in str(caught.value) for words in wanted)


def test_a_reduction_is_told_which_stage_it_lacks():
    reductions = Recipe.load("columns").of_kind("reduce")
    (layers,) = (r for r in reductions if r.name == "columns.layers")
    mistakes = unwritten([("reduce", layers)])
    assert any("reads 'cells'" in m and "add 'columns.cells'" in m for m in mistakes)
    assert unwritten([("reduce", Sums())])[0].endswith("no known stage does")


def test_internal_tables_are_left_out_unless_kept():
    assert tables_of([Takes()]) == ("frames", "problems")
    assert "route_test_notes" in tables_of([Takes()], ["route_test_notes"])
    some = frames()
    pipeline = Pipeline((Takes(),))
    for keep in ((), ("route_test_notes", "halved")):
        outcome = pipeline.measure(some, some.read(range(3), Backend.choose("cpu")), keep)
        assert ("route_test_notes" in outcome.tables) == bool(keep)
        assert sorted(outcome.maps) == ["halved"] * bool(keep)
    assert outcome.tables["route_test_notes"]["mean"].tolist() == [49, 50, 51]
    assert outcome.maps["halved"].mean((1, 2)).tolist() == [24.5, 25, 25.5]


def test_peaks_stay_inside_a_columns_run_until_they_are_asked_for():
    stages = Recipe.load("columns").of_kind("stage")
    assert "peaks" not in tables_of(stages)
    assert kept(["peaks", "electrons"], stages) == ("peaks", "electrons")


def test_what_a_reduction_reads_is_kept():
    assert kept(None, [Takes()], [Sums()]) == ("route_test_notes",)
    assert kept((), [Takes()]) == ()
    with pytest.raises(RecipeError, match=r"colours.*known are halved.*route_test_notes"):
        kept(["colours"], [Takes()])
