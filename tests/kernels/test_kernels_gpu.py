"""GPU versions of the image kernels: interpreted, compiled without a device, and on one."""

import numpy as np
import pytest
from interpreter import passed_interpreted

from stempede_kernels import compile_check
from stempede_kernels.distance import distance
from stempede_kernels.label import label, renumber
from stempede_kernels.masks import drop_small, fill_holes, hysteresis
from stempede_kernels.smooth import box_mean, gaussian

pytest.importorskip("triton")
torch = pytest.importorskip("torch")


def test_in_the_interpreter():
    passed_interpreted("interpreted_kernels.py", 18)


def test_compiled_without_a_device_nothing_spills():
    rows = compile_check.check(["distance", "label", "smooth"])
    assert {row["architecture"] for row in rows} == {80, 90}
    assert len(rows) == 12
    assert all(8 <= row["registers"] <= 64 for row in rows)
    assert compile_check.spilling(rows) == []


def test_every_folder_with_a_gpu_version_is_checked():
    assert {"distance", "label", "masks", "maxima", "smooth", "watershed"} <= set(
        compile_check.folders_with_gpu()
    )


def test_the_check_refuses_to_run_in_the_interpreter(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    with pytest.raises(RuntimeError, match="TRITON_INTERPRET set"):
        compile_check.check(["label"])


def device_masks():
    """Draw frames on which many threads meet, with odd sides."""
    rng = np.random.default_rng(8)
    return np.stack([rng.random((1023, 769)) < share for share in (0.3, 0.59, 0.9, 0.9999, 1.0)])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_device_both_equal_the_host():
    masks = device_masks()
    on_device = torch.from_numpy(masks).cuda()
    np.testing.assert_array_equal(distance(on_device).cpu().numpy(), distance(masks))
    for connectivity in (1, 2):
        labels, counts = label(on_device, connectivity)
        expected, n_expected = label(masks, connectivity)
        np.testing.assert_array_equal(labels.cpu().numpy(), expected)
        np.testing.assert_array_equal(counts.cpu().numpy(), n_expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_device_masks_labels_and_means_equal_the_host():
    masks = device_masks()
    low, high = torch.from_numpy(masks).cuda(), torch.from_numpy(masks[::-1].copy()).cuda()
    np.testing.assert_array_equal(
        hysteresis(low, high).cpu().numpy(), hysteresis(masks, masks[::-1])
    )
    np.testing.assert_array_equal(fill_holes(low, 9).cpu().numpy(), fill_holes(masks, 9))
    np.testing.assert_array_equal(drop_small(low, 9).cpu().numpy(), drop_small(masks, 9))
    labels = np.random.default_rng(9).integers(-5, 5000, masks.shape)
    for result, expected in zip(renumber(torch.from_numpy(labels).cuda()), renumber(labels)):
        np.testing.assert_array_equal(result.cpu().numpy(), expected)
    images = masks + np.float32(1)
    for function in (lambda i: gaussian(i, 3.0), lambda i: box_mean(i, 31)):
        result = function(torch.from_numpy(images).cuda()).cpu().numpy()
        np.testing.assert_allclose(result, function(images), rtol=5e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cupy_arrays_come_back_as_cupy_arrays():
    cupy = pytest.importorskip("cupy")
    mask = device_masks()[0]
    result = distance(cupy.asarray(mask))
    assert isinstance(result, cupy.ndarray)
    np.testing.assert_array_equal(cupy.asnumpy(result), distance(mask))
