"""How fast this very machine copies and calculates: what a floor is computed from."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from stempede_bench.contract import Work

_COPY_BYTES = 256 << 20  # larger than any cache
_REPEATS = 5


@dataclass(frozen=True)
class Rates:
    """Measured rates of one thread, or of the device.

    Parameters
    ----------
    copy_bytes_per_s : float
        Bytes read and written by a copy of a large array.
    flops_per_s : float
        Single-precision multiply-adds in registers and the nearest cache, each counted twice.
    """

    copy_bytes_per_s: float
    flops_per_s: float

    def floor_s(self, work: Work) -> float:
        """Return the seconds that the slower of moving and calculating needs."""
        return max(work.bytes / self.copy_bytes_per_s, work.flops / self.flops_per_s)


@cache
def rates(device: str = "cpu") -> Rates:
    """Measure the rates of this machine, once per process."""
    return _device_rates() if device == "gpu" else _thread_rates()


def _best(call: Callable[[], Any]) -> float:
    """Return the shortest of a few calls, the first being a warm-up."""
    seconds = []
    for _ in range(_REPEATS + 1):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def _thread_rates() -> Rates:
    from numba import njit

    source = np.ones(_COPY_BYTES // 4, np.float32)
    target = np.empty_like(source)
    copying = _best(lambda: np.copyto(target, source))

    # contraction alone: free to reorder, the compiler folds the eight steps into one
    @njit(fastmath={"contract"}, error_model="numpy")  # type: ignore[untyped-decorator]
    def multiply_add(values: np.ndarray, rounds: int) -> None:
        for _ in range(rounds):
            for i in range(values.size):
                v = values[i]
                # eight in a row per load, so that loading does not bind
                for _k in range(8):
                    v = v * np.float32(0.999) + np.float32(0.001)
                values[i] = v

    values, rounds = np.ones(2048, np.float32), 20_000
    calculating = _best(lambda: multiply_add(values, rounds))
    return Rates(2 * _COPY_BYTES / copying, 2 * 8 * values.size * rounds / calculating)


def _device_rates() -> Rates:
    torch = sys.modules["torch"]
    source = torch.ones(_COPY_BYTES, dtype=torch.float32, device="cuda")
    target = torch.empty_like(source)
    square = torch.ones((8192, 8192), dtype=torch.float32, device="cuda")
    torch.backends.cuda.matmul.allow_tf32 = False

    def copy() -> None:
        target.copy_(source)
        torch.cuda.synchronize()

    def multiply() -> None:
        torch.mm(square, square)
        torch.cuda.synchronize()

    return Rates(8 * _COPY_BYTES / _best(copy), 2 * 8192**3 / _best(multiply))
