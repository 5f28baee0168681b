from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stempede.backend import Backend
from stempede.frames import FrameRecord, Frames
from stempede.plan import make_plan, memory_of

CPU = Backend.choose("cpu")
GIB = 1 << 30


def session(*shapes: tuple[int, int]) -> Frames:
    records = (FrameRecord(k, f"/{k}.tif", 0, s, "uint16") for k, s in enumerate(shapes))
    return Frames(tuple(records), lambda record: None)


def test_a_thousand_frames_of_2048_fit_in_4_gib_with_two_workers() -> None:
    plan = make_plan(session(*[(2048, 2048)] * 1000), CPU, workers=2, memory_bytes=4 * GIB)
    assert max(len(c) for c in plan.chunks) >= 2
    assert plan.memory_bytes < 4 * GIB
    assert plan.workers == 2


@given(
    st.lists(st.sampled_from([(512, 700), (3000, 2048), (20_000, 9_000)]), min_size=1, max_size=30),
    st.integers(1, 4),
    st.integers(1, 16),
)
def test_every_frame_is_in_one_chunk_and_memory_holds(shapes, workers, gib) -> None:
    plan = make_plan(session(*shapes), CPU, workers=workers, memory_bytes=gib * GIB)
    assert sorted(k for c in plan.chunks for k in c) == list(range(len(shapes)))
    if plan.frames.readable:
        assert plan.memory_bytes <= gib * GIB
    for chunk in plan.chunks:
        records = [plan.frames.records[k] for k in chunk]
        assert all(r.problem for r in records) or len({r.shape for r in records}) == 1


def test_fewer_workers_where_memory_holds_no_frame_for_each(monkeypatch) -> None:
    monkeypatch.setattr("stempede.plan.cores", lambda: 4)
    frames = session(*[(8192, 8192)] * 4)
    budget = memory_of(2, 8192**2, 8192**2)
    plan = make_plan(frames, CPU, memory_bytes=budget)
    assert (plan.workers, plan.threads) == (2, 2)
    assert len(plan.frames.readable) == 4


def test_frames_that_cannot_be_read_are_planned_too() -> None:
    frames = session((64, 64), (0, 0))
    broken = replace(frames.records[1], problem="is no image")
    plan = make_plan(replace(frames, records=(frames.records[0], broken)), CPU, workers=1)
    assert plan.chunks == ((0,), (1,))
    assert "1 known before reading" in "\n".join(plan.lines())


@pytest.mark.parametrize(("shape", "said"), [((60_000, 60_000), "needs about 33"), ((9, 9), "")])
def test_what_a_frame_needs_is_said(shape, said) -> None:
    plan = make_plan(session(shape), CPU, workers=1, memory_bytes=8 * GIB)
    assert said in plan.frames.records[0].problem
    assert bool(plan.frames.records[0].problem) == bool(said)
