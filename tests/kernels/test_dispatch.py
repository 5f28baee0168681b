"""Arrays of every library reach the right side, and nothing heavy is imported before."""

import os
import subprocess
import sys

import numpy as np
import pytest

from stempede_kernels import dispatch, interop
from stempede_kernels.distance import distance
from stempede_kernels.label import label
from stempede_kernels.watershed import watershed


class FakeCudaTensor:
    """What dispatch sees of a tensor on a GPU."""

    ndim = 2
    shape = (4, 5)
    dtype = "torch.float32"

    class device:
        type = "cuda"


FakeCudaTensor.__name__ = "Tensor"
FakeCudaTensor.__module__ = "torch"


def test_importing_the_kernels_imports_nothing_heavy():
    code = (
        "import sys, stempede_kernels, stempede_kernels.distance, stempede_kernels.label, "
        "stempede_kernels.watershed, stempede_kernels.maxima\n"
        "print([m for m in ('numba', 'torch', 'triton', 'cupy', 'scipy') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == "[]"


def test_torch_on_the_host_gives_torch_back():
    torch = pytest.importorskip("torch")
    mask = np.random.default_rng(0).random((2, 9, 14)) < 0.7
    result = distance(torch.from_numpy(mask))
    assert isinstance(result, torch.Tensor)
    np.testing.assert_array_equal(result.numpy(), distance(mask))
    labels, counts = label(torch.from_numpy(mask[0]))
    assert isinstance(counts, torch.Tensor)
    assert int(counts) == int(labels.max())


def test_host_arrays_share_memory_across_libraries():
    torch = pytest.importorskip("torch")
    array = np.zeros((3, 5), np.float32)
    tensor = interop.as_torch(array)
    assert tensor.data_ptr() == array.ctypes.data
    assert interop.as_numpy(tensor).ctypes.data == array.ctypes.data
    assert interop.as_torch(tensor) is tensor
    frozen = array.copy()
    frozen.flags.writeable = False
    assert interop.as_torch(frozen).data_ptr() != frozen.ctypes.data
    assert interop.as_numpy(torch.ones(2)).tolist() == [1.0, 1.0]


def test_a_kernel_without_a_gpu_version_says_what_to_do():
    with pytest.raises(
        TypeError, match=r"'component_tree' runs on host arrays only.*copy it to the host"
    ):
        dispatch.implementation("stempede_kernels.component_tree", FakeCudaTensor())


def test_a_function_without_a_gpu_version_is_named():
    pytest.importorskip("triton")
    with pytest.raises(TypeError, match="'paint_parts' runs on host arrays only"):
        dispatch.function_for("stempede_kernels.pieces", "paint_parts", FakeCudaTensor())


def test_a_gpu_array_is_never_copied_to_the_host_silently():
    with pytest.raises(TypeError, match="host memory was expected"):
        interop.as_numpy(FakeCudaTensor())


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: distance([[True]]), TypeError, "found list"),
        (lambda: distance(np.ones((3, 4), np.uint8)), TypeError, "mask must be bool, found uint8"),
        (lambda: distance(np.ones(4, bool)), ValueError, "found 1 axes"),
        (lambda: distance(np.ones((2, 0, 4), bool)), ValueError, "no pixel"),
        (lambda: label(np.ones((3, 4), bool), 3), ValueError, "connectivity must be 1 or 2"),
        (
            lambda: watershed(np.ones((3, 4)), np.ones((3, 5), int), np.ones((3, 4), bool)),
            ValueError,
            r"markers has shape \(3, 5\)",
        ),
        (
            lambda: watershed(np.ones((3, 4)), np.ones((3, 4)), np.ones((3, 4), bool)),
            TypeError,
            "markers must be int32, found float64",
        ),
    ],
)
def test_wrong_input_says_what_was_wanted(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_no_frames_give_no_results():
    assert distance(np.zeros((0, 4, 5), bool)).shape == (0, 4, 5)
    labels, counts = label(np.zeros((0, 4, 5), bool))
    assert labels.shape == (0, 4, 5)
    assert counts.shape == (0,)
