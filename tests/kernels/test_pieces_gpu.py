"""The GPU version of pieces: interpreted, compiled without a device, and on one."""

import numpy as np
import pytest
from interpreter import passed_interpreted

from stempede_kernels import compile_check
from stempede_kernels.pieces import paint_parts, separate, whole_pieces

pytest.importorskip("triton")
torch = pytest.importorskip("torch")


def test_in_the_interpreter():
    passed_interpreted("interpreted_pieces.py", 20)


def test_compiled_without_a_device_nothing_spills():
    rows = compile_check.check(["pieces"])
    assert {row["architecture"] for row in rows} == {80, 90}
    assert all(8 <= row["registers"] <= 64 for row in rows)
    assert compile_check.spilling(rows) == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_device_pieces_equal_the_host():
    rng = np.random.default_rng(9)
    labels = rng.integers(0, 60, (2, 128, 97)).repeat(8, axis=1).repeat(8, axis=2)
    labels = (labels * (rng.random(labels.shape) < 0.8)).astype(np.int32)
    on_device = torch.from_numpy(labels).cuda()
    for fill in (True, False):
        found = whole_pieces(on_device, fill=fill).cpu().numpy()
        np.testing.assert_array_equal(found, whole_pieces(labels, fill=fill))
    np.testing.assert_array_equal(separate(on_device, 9).cpu().numpy(), separate(labels, 9))
    with pytest.raises(TypeError, match="'paint_parts' runs on host arrays only"):
        paint_parts(on_device[0], on_device[0], 1)
