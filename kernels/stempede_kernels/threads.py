"""Compiled loops on several cores: their bodies release the GIL, so Python's threads carry them.

One body serves one thread and many. It compiles in a fraction of the time that a parallel
region takes, and any number of the caller's own threads may use it at once.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

from numba import get_num_threads


def spread(body: Callable[..., Any], n: int, *arguments: Any, at_once: int = 1) -> None:
    """Call ``body(begin, end, *arguments)`` until all of 0 … n are done.

    Parameters
    ----------
    body : function compiled with ``nogil=True``
        Works on the items from begin to end, end excluded, whatever the others hold.
    n : int
        Items.
    *arguments
        Handed on; what is written for an item depends on no other.
    at_once : int
        Items that a thread takes at a time: enough that a call of the body is worth it.
    """
    threads = min(get_num_threads(), -(-n // at_once))
    if threads <= 1:
        body(0, n, *arguments)
        return
    # taking the next of a range is one step for the interpreter
    waiting = iter(range(0, n, at_once))

    def work() -> None:
        for begin in waiting:
            body(begin, min(begin + at_once, n), *arguments)

    others = [_pool(threads).submit(work) for _ in range(threads - 1)]
    work()
    for other in others:
        other.result()


@lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="stempede-kernel")
