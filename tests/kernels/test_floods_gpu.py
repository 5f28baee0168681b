"""GPU versions of maxima and watershed: interpreted, compiled without a device, and on one."""

import numpy as np
import pytest
from interpreter import passed_interpreted

from stempede_kernels import compile_check
from stempede_kernels.distance import distance
from stempede_kernels.maxima import label_h_maxima
from stempede_kernels.watershed import watershed

pytest.importorskip("triton")
torch = pytest.importorskip("torch")


def test_in_the_interpreter():
    passed_interpreted("interpreted_floods.py", 28)


def test_compiled_without_a_device_nothing_spills():
    rows = compile_check.check(["maxima", "watershed"])
    assert {row["architecture"] for row in rows} == {80, 90}
    assert len(rows) == 18
    assert all(8 <= row["registers"] <= 128 for row in rows)
    assert compile_check.spilling(rows) == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("connectivity", [1, 2])
def test_on_a_device_both_equal_the_host(connectivity):
    rng = np.random.default_rng(8)
    masks = np.stack([rng.random((1023, 769)) < share for share in (0.55, 0.9, 0.9999, 1.0)])
    inside = distance(masks[:3])
    noise = rng.normal(size=masks.shape[1:]).astype(np.float32)
    height = np.concatenate([inside, noise[None]])
    markers, counts = label_h_maxima(height, 0.75, masks, connectivity=connectivity)
    labels = watershed(-height, markers, masks, connectivity)
    on_device, mask = torch.from_numpy(height).cuda(), torch.from_numpy(masks).cuda()
    found, n_found = label_h_maxima(on_device, 0.75, mask, connectivity=connectivity)
    np.testing.assert_array_equal(found.cpu().numpy(), markers)
    np.testing.assert_array_equal(n_found.cpu().numpy(), counts)
    for _ in range(3):
        flooded = watershed(-on_device, found, mask, connectivity)
        np.testing.assert_array_equal(flooded.cpu().numpy(), labels)
