import logging

import numpy as np
import pytest

from stempede import backend as backend_module
from stempede.backend import Backend, Ledger
from stempede.errors import BackendError


def test_cpu_backend_counts_what_is_handed_over():
    backend = Backend.choose("cpu")
    array = np.arange(12, dtype=np.float32)
    assert backend.upload(array, "read") is array
    backend.download(array, "tables")
    assert backend.ledger.as_dict() == {"up": {"read": 48}, "down": {"tables": 48}}


def test_through_host_is_a_plain_call_on_a_cpu():
    backend = Backend.choose("cpu")
    array = np.arange(4.0)
    total = backend.through_host("s", lambda a, b, power: (a + b) ** power, array, 1.0, power=2)
    np.testing.assert_array_equal(total, (array + 1) ** 2)
    assert backend.ledger.as_dict() == {"up": {}, "down": {}}


def test_ledgers_add_up():
    ledger = Ledger()
    ledger.count("up", "read", 3)
    ledger.merge({"up": {"read": 4}, "down": {"tables": 5}})
    assert ledger.as_dict() == {"up": {"read": 7}, "down": {"tables": 5}}


def test_auto_says_why_it_took_the_cpu(monkeypatch, caplog):
    monkeypatch.setattr(backend_module, "gpu_problem", lambda: "CuPy finds no CUDA device")
    with caplog.at_level(logging.INFO, logger="stempede"):
        assert Backend.choose("auto").name == "cpu"
    assert "CuPy finds no CUDA device" in caplog.text


def test_asking_for_a_gpu_that_is_not_there_fails(monkeypatch):
    monkeypatch.setattr(backend_module, "gpu_problem", lambda: "CuPy is not importable (no)")
    with pytest.raises(BackendError, match="use --device cpu"):
        Backend.choose("gpu")


def test_unknown_device_is_named():
    with pytest.raises(BackendError, match="tpu"):
        Backend.choose("tpu")


def test_memory_errors_of_all_libraries_are_recognised():
    backend = Backend.choose("cpu")

    class OutOfMemoryError(RuntimeError):
        pass

    assert backend.is_out_of_memory(MemoryError())
    assert backend.is_out_of_memory(OutOfMemoryError())
    assert not backend.is_out_of_memory(ValueError())


class FakeCupy:
    """Stands for CuPy where there is no card: arrays are marked, not moved."""

    class array(np.ndarray):
        pass

    @classmethod
    def asarray(cls, value):
        return np.asarray(value).view(cls.array)

    @staticmethod
    def asnumpy(value):
        return np.asarray(value).view(np.ndarray)


def test_through_host_on_a_gpu_counts_each_crossing():
    backend = Backend("gpu", FakeCupy, None, "card", "test")
    array = backend.upload(np.ones(3, np.float32), "read")

    def work(a):
        assert type(a) is np.ndarray
        return {"sum": a + 1, "n": 3}, a.astype(np.float64)

    result, wide = backend.through_host("split", work, array)
    assert isinstance(result["sum"], FakeCupy.array)
    assert isinstance(wide, FakeCupy.array)
    assert result["n"] == 3
    assert backend.ledger.down == {"split": 12}
    assert backend.ledger.up == {"read": 12, "split": 36}


@pytest.mark.gpu
def test_cupy_and_torch_share_one_pool_and_hand_over_without_a_copy():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    backend = Backend.choose("gpu")
    before = torch.cuda.memory_allocated()
    array = backend.xp.zeros((256, 256), backend.xp.float32)
    assert torch.cuda.memory_allocated() - before >= array.nbytes
    tensor = torch.from_dlpack(array)
    assert tensor.data_ptr() == array.data.ptr
