"""GPU version of the superellipse kernel: interpreted, compiled without a device, and on one."""

import numpy as np
import pytest
from interpreter import passed_interpreted
from superellipse_drawing import SHAPES, labelled

from stempede_kernels import compile_check
from stempede_kernels.superellipse import fit, render

pytest.importorskip("triton")
torch = pytest.importorskip("torch")


def test_in_the_interpreter():
    passed_interpreted("interpreted_superellipse.py", 3)


def test_compiled_without_a_device_nothing_spills():
    rows = compile_check.check(["superellipse"], (90,))
    assert [row["kernel"] for row in rows] == ["_fit_kernel", "_overlap_kernel", "_render_kernel"]
    assert compile_check.spilling(rows) == []


@pytest.mark.gpu
def test_fits_and_drawings_on_a_device_equal_the_host():
    labels, frame, label, box = labelled()
    found = fit(torch.from_numpy(labels).cuda(), frame, label, box)
    wanted = fit(labels, frame, label, box)
    np.testing.assert_allclose(found.shapes, wanted.shapes, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.errors, wanted.errors, rtol=1e-4)
    np.testing.assert_array_equal(found.jaccard, wanted.jaccard)
    drawn = render(torch.from_numpy(SHAPES).cuda(), 44).cpu().numpy()
    np.testing.assert_allclose(drawn, render(SHAPES, 44), atol=1e-4)
