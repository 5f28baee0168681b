"""Where arrays live: the one place that decides between CPU and GPU.

Rules. Stages never import CuPy, cuCIM or torch: they compute with ``backend.xp``
and ``backend.ndimage``. Every crossing of the bus goes through ``upload``,
``download`` or ``through_host``, which count it. ``auto`` says in one line what
it chose and why; an explicit ``gpu`` fails where it cannot be had.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from stempede.errors import BackendError

log = logging.getLogger("stempede")

DEVICES = ("auto", "cpu", "gpu")


@contextlib.contextmanager
def one_order_of_sums() -> Iterator[None]:
    """Hold the linear algebra libraries to one thread, so that numbers never depend on cores.

    Threads would cut a sum by their number. The matrices here are small; kernels and workers
    are what keeps the cores busy.
    """
    # a library that a stage loads first would not be held
    import scipy.linalg  # noqa: F401
    import threadpoolctl

    with threadpoolctl.threadpool_limits(1, "blas"):
        yield


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Hold every library to one thread: linear algebra, and OpenMP as scikit-learn uses it.

    Tables of a run are small for it: threads that wait for each other cost several times the
    work, and cut sums by their number.
    """
    import sklearn.cluster  # noqa: F401
    import threadpoolctl

    with one_order_of_sums(), threadpoolctl.threadpool_limits(1, "openmp"):
        yield


@dataclass
class Ledger:
    """Bytes that crossed the bus, by stage and direction.

    On a CPU nothing crosses a bus: uploads and downloads are counted all the
    same, as the bytes handed over, so that a run's ledger has the same shape
    on both and a test can hold the stages in between to zero.
    """

    up: dict[str, int] = field(default_factory=dict)
    down: dict[str, int] = field(default_factory=dict)

    def count(self, direction: str, stage: str, nbytes: int) -> None:
        """Add bytes to one stage; direction is ``up`` or ``down``."""
        book = self.up if direction == "up" else self.down
        book[stage] = book.get(stage, 0) + int(nbytes)

    def merge(self, other: Mapping[str, Mapping[str, int]]) -> None:
        """Add another ledger's ``as_dict``."""
        for direction in ("up", "down"):
            for stage, nbytes in other.get(direction, {}).items():
                self.count(direction, stage, nbytes)

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Return ``{"up": {stage: bytes}, "down": {stage: bytes}}``."""
        return {"up": dict(self.up), "down": dict(self.down)}


@dataclass(frozen=True)
class Backend:
    """Array modules of one device, and the ledger of what reaches it.

    Use ``Backend.choose``; a batch carries its backend, stage signatures do not.
    """

    name: str
    xp: ModuleType
    ndimage: ModuleType
    device: str
    reason: str
    ledger: Ledger = field(default_factory=Ledger, compare=False)

    @classmethod
    def choose(cls, device: str = "auto") -> Backend:
        """Return the backend for ``auto``, ``cpu`` or ``gpu``.

        Raises
        ------
        BackendError
            ``gpu`` was asked for and cannot be had, or the word is unknown.
        """
        if device not in DEVICES:
            raise BackendError(
                f"device is one of {', '.join(DEVICES)}; found '{device}'; correct --device"
            )
        if device == "cpu":
            return _cpu("asked for")
        problem = gpu_problem()
        if problem is None:
            return _gpu("asked for" if device == "gpu" else "a CUDA device is there")
        if device == "gpu":
            raise BackendError(
                f"GPU asked for, but {problem}; install the gpu extra or use --device cpu"
            )
        chosen = _cpu(problem)
        log.info("device auto: using the CPU, because %s", problem)
        return chosen

    @property
    def is_gpu(self) -> bool:
        """Whether arrays live on a CUDA device."""
        return self.name == "gpu"

    def upload(self, array: Any, stage: str) -> Any:
        """Return a host array on the device, counted for ``stage``."""
        self.ledger.count("up", stage, array.nbytes)
        return self.xp.asarray(array)

    def download(self, array: Any, stage: str) -> np.ndarray:
        """Return a device array on the host, counted for ``stage``."""
        self.ledger.count("down", stage, array.nbytes)
        return self.xp.asnumpy(array) if self.is_gpu else np.asarray(array)

    def through_host(
        self, stage: str, function: Callable[..., Any], *arrays: Any, **parameters: Any
    ) -> Any:
        """Call a host function on device arrays; its result comes back to the device.

        On a CPU this is a plain call. On a GPU the arrays are downloaded and every
        array in the result (alone, in a tuple or in a dictionary) is uploaded, all
        counted: the ledger shows each operation that still leaves the card.
        """
        if not self.is_gpu:
            return function(*arrays, **parameters)
        host = [self.download(a, stage) if hasattr(a, "nbytes") else a for a in arrays]
        return self._back(function(*host, **parameters), stage)

    def _back(self, value: Any, stage: str) -> Any:
        if isinstance(value, np.ndarray):
            return self.upload(value, stage)
        if isinstance(value, tuple):
            return tuple(self._back(v, stage) for v in value)
        if isinstance(value, dict):
            return {k: self._back(v, stage) for k, v in value.items()}
        return value

    def free_bytes(self) -> int:
        """Return the memory that can still be taken on the device."""
        if self.is_gpu:
            return int(self.xp.cuda.runtime.memGetInfo()[0])
        return host_free_bytes()

    def release(self) -> None:
        """Give cached device memory back; nothing on a CPU."""
        if self.is_gpu:
            self.xp.get_default_memory_pool().free_all_blocks()
            torch = importlib.import_module("torch")
            torch.cuda.empty_cache()

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether an exception says that the device (or the host) ran out of memory."""
        return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def host_free_bytes() -> int:
    """Return the host memory available, from the kernel's own estimate."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 4 << 30


def gpu_problem() -> str | None:
    """Return why no GPU backend can be had, or None where it can.

    Probes in the order import CuPy, CUDA device, cuCIM, torch: each imports on a
    machine without a device, and fails only at first use.
    """
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        return f"CuPy is not importable ({error})"
    if not cupy.cuda.is_available():
        return "CuPy finds no CUDA device"
    try:
        importlib.import_module("torch")
    except ImportError as error:
        return f"torch, whose memory pool is shared, is not importable ({error})"
    return None


def _cpu(reason: str) -> Backend:
    ndimage = importlib.import_module("scipy.ndimage")
    return Backend("cpu", np, ndimage, "cpu", reason)


def _gpu(reason: str) -> Backend:
    cupy = importlib.import_module("cupy")
    ndimage = importlib.import_module("cupyx.scipy.ndimage")
    _share_pool(cupy)
    name = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()
    return Backend("gpu", cupy, ndimage, name, reason)


def _share_pool(cupy: Any) -> None:
    """Let CuPy allocate from torch's caching pool and work on torch's stream.

    One pool means that memory freed by one library serves the other; one stream
    means that hand-overs through DLPack need no synchronisation. Triton launches
    on torch's current stream already.
    """
    torch = importlib.import_module("torch")
    stream = torch.cuda.current_stream()

    def allocate(size: int, device_id: int) -> int:
        if size == 0:
            return 0
        return int(torch.cuda.caching_allocator_alloc(size, device_id, stream.cuda_stream))

    def free(pointer: int, _device_id: int) -> None:
        if pointer:
            torch.cuda.caching_allocator_delete(pointer)

    cupy.cuda.set_allocator(cupy.cuda.memory.PythonFunctionAllocator(allocate, free).malloc)
    cupy.cuda.ExternalStream(stream.cuda_stream).use()
