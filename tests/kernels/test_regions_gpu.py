"""GPU version of regions: interpreted, compiled without a device, and on one."""

import numpy as np
import pytest
from drawing_regions import blobs
from interpreter import passed_interpreted

from stempede_kernels import compile_check
from stempede_kernels.regions import regions

pytest.importorskip("triton")
torch = pytest.importorskip("torch")


def test_in_the_interpreter():
    passed_interpreted("interpreted_regions.py", 12)


def test_compiled_without_a_device_nothing_spills():
    rows = compile_check.check(["regions"])
    assert {row["architecture"] for row in rows} == {80, 90}
    assert len(rows) == 14
    assert all(row["registers"] <= 128 for row in rows)
    assert compile_check.spilling(rows) == []


def device_scene():
    labels = blobs(5, (3, 513, 771), width=6)
    rng = np.random.default_rng(1)
    images = (rng.normal(100, 4, labels.shape) + 30 * (labels > 0)).astype(np.float32)
    return labels, images, rng.random(labels.shape) < 0.9


def assert_same(found, wanted):
    for name, column in wanted.items():
        if name in {"contrast", "mean_inside", "mean_background", "noise"}:
            np.testing.assert_allclose(found[name], column, rtol=1e-9, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], column, err_msg=name)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("library", ["torch", "cupy"])
def test_on_a_device_equals_the_host(library):
    host = device_scene()
    if library == "torch":
        device = [torch.from_numpy(array).cuda() for array in host]
    else:
        cupy = pytest.importorskip("cupy")
        device = [cupy.asarray(array) for array in host]
    moved = []
    found = regions(*device[:2], valid=device[2], on_transfer=lambda *move: moved.append(move))
    assert_same(found, regions(*host[:2], valid=host[2]))
    assert 0 < sum(n for way, n in moved if way == "down") < host[0].nbytes / 4
