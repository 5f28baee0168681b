from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import tiny
from stempede.backend import Backend
from stempede.errors import RecipeError
from stempede.pipeline import Outcome, Pipeline


def measured(*assignments: str, n: int = 6, broken: tuple[int, ...] = (), keep=()) -> Outcome:
    backend = Backend.choose("cpu")
    frames = tiny.session(n, odd=False, broken=broken)
    pipeline = Pipeline.from_specs(tiny.recipe(*assignments).specs("stage"))
    return pipeline.measure(frames, frames.read(range(n), backend), keep)


def test_repr_is_the_route() -> None:
    assert repr(Pipeline(tiny.recipe().of_kind("stage"))) == "read → smooth → find"


def test_a_stage_must_find_what_it_reads() -> None:
    @dataclass(frozen=True)
    class Needs:
        name: ClassVar[str] = "needs"
        reads: ClassVar[tuple[str, ...]] = ("nothing",)
        writes: ClassVar[tuple[str, ...]] = ()

    with pytest.raises(RecipeError, match="reads 'nothing', but no earlier stage writes it"):
        Pipeline((Needs(),))
    with pytest.raises(RecipeError, match="at least one stage"):
        Pipeline(())


def test_every_table_of_the_route_is_there_with_its_schema() -> None:
    outcome = measured("find.above=1e9")
    assert sorted(outcome.tables) == ["frames", "particles", "problems"]
    assert len(outcome.tables["particles"]) == 0
    assert "solidity" in outcome.tables["particles"].schema.names
    assert outcome.tables["frames"]["n_particles"].tolist() == [0] * 6


def test_timings_stand_per_stage() -> None:
    assert list(measured().timings_s) == ["tiny.smooth", "tiny.find", "download"]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_out_of_memory_halves_and_changes_nothing(limit: int) -> None:
    whole, halved = (
        measured(keep=["labels"]),
        measured(f"find.exhausted_by={limit}", keep=["labels"]),
    )
    for name, table in whole.tables.items():
        tiny.assert_same(table, halved.tables[name])
    np.testing.assert_array_equal(whole.maps["labels"], halved.maps["labels"])
    assert "ran out of memory on 6 frames from 0; went on with 3 at a time" in halved.notes[0]
    assert whole.notes == ()


def test_a_frame_too_large_for_memory_is_a_row() -> None:
    outcome = measured("find.exhausted_by=0")
    assert outcome.tables["frames"]["state"].tolist() == ["problem"] * 6
    assert "MemoryError" in outcome.tables["problems"]["reason"][0]


def test_a_stage_that_raises_costs_one_frame() -> None:
    whole, outcome = measured(keep=["labels"]), measured("find.raise_on=[2]", keep=["labels"])
    problems = outcome.tables["problems"]
    assert (problems["frame"].tolist(), problems["stage"].tolist()) == ([2], ["tiny.find"])
    assert problems["reason"].tolist() == ["RuntimeError: cannot take frame 2"]
    assert problems["source"].tolist() == ["/tiny/2.tif"]
    states = outcome.tables["frames"]["state"].tolist()
    assert states == ["measured", "measured", "problem", "measured", "measured", "measured"]
    others = whole.tables["particles"].take(whole.tables["particles"]["frame"] != 2)
    tiny.assert_same(others, outcome.tables["particles"])
    assert outcome.frames.tolist() == [0, 1, 3, 4, 5]
    assert outcome.maps["labels"].shape == (5, 40, 53)


def test_unreadable_frames_are_rows_too() -> None:
    outcome = measured(broken=(0, 4))
    assert outcome.tables["problems"]["stage"].tolist() == ["read", "read"]
    assert outcome.tables["frames"]["frame"].tolist() == [0, 1, 2, 3, 4, 5]
    assert outcome.tables["frames"]["state"].tolist()[0] == "problem"
    everything = measured(broken=tuple(range(6)), keep=["labels"])
    assert len(everything.tables["problems"]) == 6
    assert everything.maps == {}


def test_problems_are_not_counted_twice_when_a_batch_is_split() -> None:
    outcome = measured("find.raise_on=[2]", broken=(0,))
    assert outcome.tables["problems"]["frame"].tolist() == [0, 2]


def test_tables_are_downloaded_once_and_counted() -> None:
    backend = Backend.choose("cpu")
    frames = tiny.session(3, odd=False)
    batch = frames.read(range(3), backend)
    backend.ledger.up.clear()
    outcome = Pipeline(tiny.recipe().of_kind("stage")).measure(frames, batch)
    assert backend.ledger.up == {}
    assert set(backend.ledger.down) == {"tables"}
    assert len(outcome.tables["particles"]) > 3
