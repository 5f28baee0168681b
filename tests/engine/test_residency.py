"""Stages on a backend that says it is a GPU: what they ask to be copied over the bus.

NumPy stands for CuPy, so kernels run on the host and no array is anywhere else: this holds that
the stages' own code takes no way over the host, not that the kernels' device side works.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from stempede.backend import Backend, Ledger
from stempede.frames import FrameRecord, Frames
from stempede.particles.learned import Cuts, looked
from stempede.particles.segment import Segment
from stempede.particles.split import Split

SHAPE = (60, 83)


class NumpyAsCupy(SimpleNamespace):
    """NumPy with the one name that CuPy has more."""

    asnumpy = staticmethod(np.asarray)

    def __getattr__(self, name):
        return getattr(np, name)


@pytest.fixture
def backend():
    return Backend("gpu", NumpyAsCupy(), ndimage, "stand-in", "test", Ledger())


@pytest.fixture
def batch(backend):
    """A frame of two touching discs and one apart, with the regions that a network would give."""
    y, x = np.indices(SHAPE)
    places = [(30, 20, 13), (30, 44, 13), (15, 70, 9)]
    depth = np.max([r - np.hypot(y - cy, x - cx) for cy, cx, r in places], axis=0)
    depth = np.maximum(depth, 0).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 1, SHAPE).astype(np.float32)
    record = FrameRecord(0, "a", 0, SHAPE, "float32")
    frames = Frames((record,), lambda _record: 9 * (depth > 0) + noise)
    batch = frames.read([0], backend)
    answer = {"probability": (depth > 0).astype(np.float32), "distance": depth}
    found = looked(answer, 1.0, Cuts(), backend.xp)
    assert found.labels.max() == 3
    backend.ledger.up.clear()
    return batch.with_(
        maps={"regions": found.labels[None], "probability": answer["probability"][None]}
    )


def test_cutting_a_networks_answer_and_numbering_its_particles_copies_nothing(batch):
    labels = Split()(batch).maps["labels"]
    assert labels.max() == 3
    assert batch.backend.ledger.as_dict() == {"up": {}, "down": {}}


def test_parting_refined_regions_copies_nothing(batch):
    stage = Segment(refine=True)
    view = SimpleNamespace(
        factor=1, labels=batch.maps["regions"][0], smooth=batch.images[0], discs=np.zeros((0, 3))
    )
    regions = stage._refined(view, batch.images[0], batch.maps["valid"][0], batch.backend)
    assert regions.max() == 3
    assert batch.backend.ledger.as_dict() == {"up": {}, "down": {}}
