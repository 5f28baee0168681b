"""Memory comes back: twenty chunks leave no more behind than the index of what they wrote.

Traced are NumPy's arrays and Python's objects, which is where frames, maps and tables lie.
"""

from __future__ import annotations

import gc
import tracemalloc
import warnings

import pytest

import tiny
from simulated import SHAPES, micrographs
from stempede.session import RunOptions, Session

# the first ones load and compile what all need
N, WARM = 24, 3


class Enough(Exception):
    """The chunks are done; the reductions after them are of no interest here."""


def test_chunks_leave_nothing_behind(tmp_path, monkeypatch) -> None:
    with warnings.catch_warnings():
        # what tests before this one left open is not ours
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    held: list[int] = []

    def count(finished: int, *_: object) -> None:
        if finished == WARM:
            tracemalloc.start()
        elif finished > WARM:
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
        if finished == N:
            tracemalloc.stop()
            raise Enough

    tiny.plan_chunks_of(1, monkeypatch)
    session = Session("particles", micrographs(N), tmp_path / "run", RunOptions("cpu", workers=1))
    with pytest.raises(Enough):
        session.run(progress=count)
    one_frame = 4 * SHAPES[0][0] * SHAPES[0][1]
    assert len(held) == N - WARM
    assert held[-1] - held[0] < 20 * one_frame / 4
