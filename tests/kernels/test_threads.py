"""Loops spread over threads: every item once, whatever the threads, and errors come back."""

import numba
import numpy as np
import pytest

from stempede_kernels.threads import spread


@numba.njit(nogil=True)
def count(begin, end, times):
    for k in range(begin, end):
        times[k] += 1


@pytest.fixture(params=[1, 2])
def threads(request):
    before = numba.get_num_threads()
    if request.param > numba.config.NUMBA_NUM_THREADS:
        pytest.skip("this process may use one thread only")
    numba.set_num_threads(request.param)
    yield request.param
    numba.set_num_threads(before)


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 1000])
@pytest.mark.parametrize("at_once", [1, 8])
def test_every_item_is_taken_once(n, at_once, threads):
    times = np.zeros(n, np.int64)
    spread(count, n, times, at_once=at_once)
    assert (times == 1).all()


def test_what_fails_in_any_thread_is_raised(threads):
    def body(begin, end):
        if begin <= 70 < end:
            raise ValueError("item 70")

    with pytest.raises(ValueError, match="item 70"):
        spread(body, 100, at_once=10)
