"""Bounds on fitted shapes; ``--scale 1`` runs the whole study and keeps it."""

import pytest

from accuracy import study_shapes
from accuracy.record import write

pytestmark = pytest.mark.accuracy

LEAST_OVERLAP, LEAST_SPIKY = 0.95, 0.90
LEAST_RIGHT = 0.97
LEAST_REAL = 0.90


@pytest.mark.timeout(3600)
def test_shapes_are_found_in_what_the_route_segments(study_scale):
    result = study_shapes.study(study_scale)
    if study_scale >= 1:
        write("shapes", result)
    cell = result["cells"]["44 px, 200 electrons per px"]
    # one frame of some 140 particles cannot hold a share to a hundredth
    slack = 0.0 if study_scale >= 1 else 0.02
    for kind in ("true masks", "route"):
        assert cell[kind]["jaccard"] >= LEAST_OVERLAP, kind
        assert cell[kind]["d_right"] >= LEAST_RIGHT - slack, kind
    assert cell["route"]["jaccard_spiky"] >= LEAST_SPIKY - slack


@pytest.mark.timeout(3600)
def test_shapes_overlap_real_particles(public_data, study_scale):
    if study_scale < 1:
        pytest.skip("minutes of segmentation; run with --scale 1")
    result = study_shapes.real(public_data)
    write("shapes_real", result)
    mean = sum(r["jaccard"] * r["particles"] for r in result.values())
    assert mean / sum(r["particles"] for r in result.values()) >= LEAST_REAL
