"""Schedule: chunks onto workers. The only place that knows Dask, and it uses futures alone.

One task is one chunk: it is read, measured and written where it runs, and a summary comes
back. At most two chunks per worker are under way, the one that computes and the one that
is being read ahead. With one worker everything happens in this process, without Dask,
through the same calls.

A worker that dies is replaced. Its chunks are tried again as ``Work.again`` says, so that
what kills workers is given up in the end and the rest goes on.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeVar

from stempede.errors import BackendError, InputError, ResultsError

log = logging.getLogger("stempede")

T = TypeVar("T")

AHEAD = 2
"""Chunks under way per worker."""

DEATHS = 12
"""Workers that may die in a row, no chunk being done in between, before a run gives up."""

PATIENCE_S = 60.0
"""How long a run waits for a scheduler that has lost all its workers."""

CONNECT_S = 10.0
"""How long a scheduler may take to answer."""

MAPPED_BYTES = 32 << 20
FREE_BYTES = 256 << 20
"""Arrays up to the one come from the heap, which keeps up to the other free: returning every
array to the system costs a sixth of a route's time in page faults."""

_COMPUTING = threading.Lock()


class Work(Protocol[T]):
    """What is done with a task; picklable."""

    def read(self, task: T) -> Any:
        """Load a task, possibly while another one computes."""
        ...

    def compute(self, task: T, loaded: Any) -> dict[str, Any]:
        """Return the summary of a task; one at a time in each process."""
        ...

    def again(self, task: T) -> T:
        """Return what is tried after the worker of a task died."""
        ...


def run_chunks(
    tasks: Sequence[T],
    work: Work[T],
    *,
    workers: int,
    scheduler: str | None = None,
    threads: int = 1,
) -> Generator[dict[str, Any], None, None]:
    """Do all tasks and yield their summaries as they come.

    Closing the generator, or an exception in it (Ctrl-C), drops what is under way.

    Parameters
    ----------
    tasks : sequence
    work : Work
    workers : int
        Processes of a local cluster; 0 and 1 stay in this process.
    scheduler : str, optional
        Address of a Dask scheduler to use instead (``tcp://host:8786``).
    threads : int
        Threads per worker for numba, torch and BLAS together.

    Raises
    ------
    InputError
        The scheduler cannot be reached.
    ResultsError
        Workers die one after the other, or all left.
    """
    if scheduler is None and workers <= 1:
        yield from _inline(tasks, work)
        return
    with _client(workers, scheduler, threads) as client:
        yield from _through(client, tasks, work)


def keep_free_memory() -> None:
    """Let this process keep arrays' memory for the next ones, as workers do; glibc alone."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h
        mallopt(-3, MAPPED_BYTES)
        mallopt(-1, FREE_BYTES)


def _inline(tasks: Sequence[T], work: Work[T]) -> Generator[dict[str, Any], None, None]:
    """Work in this process; a thread reads the next task while the current one computes."""
    keep_free_memory()
    ahead = ThreadPoolExecutor(1, thread_name_prefix="stempede-read")
    try:
        loading = ahead.submit(work.read, tasks[0]) if tasks else None
        for k, task in enumerate(tasks):
            loaded = loading.result() if loading is not None else None
            loading = ahead.submit(work.read, tasks[k + 1]) if k + 1 < len(tasks) else None
            yield work.compute(task, loaded)
            del loaded
    finally:
        ahead.shutdown(wait=False, cancel_futures=True)


def perform(work: Work[T], task: T) -> dict[str, Any]:
    """Do one task in a worker that runs two: reading overlaps, computing does not."""
    loaded = work.read(task)
    with _COMPUTING:
        return work.compute(task, loaded)


def _alone(function: Callable[[], None]) -> None:
    with _COMPUTING:
        function()


def _through(
    client: Any, tasks: Sequence[T], work: Work[T]
) -> Generator[dict[str, Any], None, None]:
    """Keep a bounded number of futures under way and yield their summaries."""
    from distributed import wait
    from distributed.scheduler import KilledWorker

    waiting, under_way = deque(tasks), dict[Any, T]()
    deaths, seen = 0, time.monotonic()
    while waiting or under_way:
        n_workers = len(client.ncores())
        while waiting and len(under_way) < AHEAD * max(1, n_workers):
            task = waiting.popleft()
            under_way[client.submit(perform, work, task, pure=False)] = task
        seen = time.monotonic() if n_workers else seen
        if time.monotonic() - seen > PATIENCE_S:
            raise ResultsError("all workers of the scheduler are gone; start some and resume")
        try:
            with client.as_current():
                done = wait(list(under_way), timeout=1.0, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            continue
        for future in done:
            task = under_way.pop(future)
            error = future.exception()
            if error is None:
                deaths = 0
                yield future.result()
            elif isinstance(error, KilledWorker):
                deaths += 1
                log.warning("a worker died; its frames are tried again one by one")
                waiting.appendleft(work.again(task))
            else:
                raise error
        if deaths > DEATHS:
            raise ResultsError(
                f"{deaths} workers died one after the other and no chunk was done in between; "
                f"see whether memory runs out (--memory, --workers), then resume"
            )


class Standing(Generic[T]):
    """Workers that stay, for a run that does not know its tasks beforehand.

    Parameters
    ----------
    workers : int
        Processes of a local cluster; 0 and 1 work in a thread of this process.
    scheduler : str, optional
        Address of a Dask scheduler to use instead.
    threads : int
        Threads per worker for numba, torch and BLAS together.

    Attributes
    ----------
    when_done : callable
        Called in another thread when a task has ended.
    """

    def __init__(self, workers: int, scheduler: str | None = None, threads: int = 1) -> None:
        self.when_done: Callable[[], None] = lambda: None
        self.workers = max(1, workers)
        self._local = scheduler is None and workers <= 1
        self._exit = contextlib.ExitStack()
        self._under_way: dict[Any, tuple[T, Work[T]]] = {}
        # a future that nobody holds is dropped
        self._warming: list[Any] = []
        self._deaths = 0
        if self._local:
            keep_free_memory()
            self._client: Any = self._exit.enter_context(_Thread())
        else:
            self._client = self._exit.enter_context(_client(workers, scheduler, threads))

    def __len__(self) -> int:
        return len(self._under_way)

    @property
    def tasks(self) -> list[T]:
        """Tasks that are under way."""
        return [task for task, _ in self._under_way.values()]

    def warm(self, function: Callable[[], None]) -> None:
        """Have every worker call a function before its first task; what it raises is no matter."""
        places = self._client.ncores()
        self._warming = [
            self._client.submit(_alone, function, workers=[place], pure=False) for place in places
        ]

    def submit(self, task: T, work: Work[T]) -> None:
        """Have a task done; its outcome comes from ``finished``."""
        future = self._client.submit(perform, work, task, pure=False)
        self._under_way[future] = (task, work)
        future.add_done_callback(lambda _: self.when_done())

    def finished(self) -> list[tuple[T, dict[str, Any] | Exception]]:
        """Return the tasks that have ended since, with their summaries or what they raised.

        Raises
        ------
        ResultsError
            Workers die one after the other.
        """
        ended: list[tuple[T, dict[str, Any] | Exception]] = []
        for future in [f for f in self._under_way if f.done()]:
            task, work = self._under_way.pop(future)
            error = future.exception()
            if error is None:
                self._deaths = 0
                ended.append((task, future.result()))
            elif type(error).__name__ == "KilledWorker":
                self._deaths += 1
                log.warning("a worker died; its frames are tried again one by one")
                self.submit(work.again(task), work)
            elif isinstance(error, Exception):
                ended.append((task, error))
            else:
                raise error
        if self._deaths > DEATHS:
            raise ResultsError(f"{self._deaths} workers died one after the other; see the memory")
        return ended

    def close(self) -> None:
        """End the workers without waiting for what they compute."""
        self._exit.close()


class _Thread(ThreadPoolExecutor):
    """One thread that takes tasks as a Dask client does."""

    def __init__(self) -> None:
        super().__init__(1, thread_name_prefix="stempede-measure")

    def submit(  # type: ignore[override]
        self, function: Any, *arguments: Any, pure: bool = False, workers: Sequence[str] = ()
    ) -> Any:
        return super().submit(function, *arguments)

    def ncores(self) -> dict[str, int]:
        return {"": 1}

    def __exit__(self, *_: object) -> None:
        self.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _client(workers: int, scheduler: str | None, threads: int) -> Iterator[Any]:
    """Connect to a scheduler, or start a quiet local cluster that ends with the block."""
    import dask
    from distributed import Client

    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise InputError(
                f"wanted a Dask scheduler at {scheduler}, found none ({error}); "
                f"start it or leave --scheduler out"
            ) from error
        with client:
            yield client
        return
    with dask.config.set(_settings(threads)), _hidden_main():
        cluster = _local_cluster(workers)
        client = Client(cluster, set_as_default=False)
        try:
            yield client
        finally:
            _stop(client, cluster)


def _local_cluster(workers: int) -> Any:
    """Start worker processes on this machine.

    Raises
    ------
    BackendError
        If they cannot be started, as where the system gives no shared memory.
    """
    from distributed import LocalCluster

    try:
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=AHEAD,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        )
    except (RuntimeError, OSError) as error:
        raise BackendError(
            f"wanted {workers} worker processes, could not start them "
            f"({error.__cause__ or error}); measure in this one with --workers 1"
        ) from error


def _stop(client: Any, cluster: Any) -> None:
    """End a local cluster without waiting for what it computes."""
    with contextlib.suppress(TimeoutError, OSError):
        client.close(timeout=1)
    with contextlib.suppress(TimeoutError, OSError):
        cluster.close(timeout=2)


def _settings(threads: int) -> dict[str, Any]:
    environment: dict[str, Any] = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), threads)
    # a worker computes in two threads in turn, and only the first may hold OpenBLAS to one
    environment["OPENBLAS_NUM_THREADS"] = 1
    environment["MALLOC_MMAP_THRESHOLD_"] = MAPPED_BYTES
    environment["MALLOC_TRIM_THRESHOLD_"] = FREE_BYTES
    return {
        "distributed.nanny.pre-spawn-environ": environment,
        # set in the child alone: numba in this process refuses a number that changes
        "distributed.nanny.environ": {"NUMBA_NUM_THREADS": threads},
        "distributed.scheduler.allowed-failures": 0,
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        "distributed.worker.preload": ["stempede.schedule"],
        # nobody looks at what Dask measures of itself, which takes a hundredth of each process
        "distributed.worker.profile.enabled": False,
        "distributed.worker.memory.monitor-interval": "5s",
        "distributed.admin.system-monitor.interval": "5s",
        "distributed.admin.tick.interval": "500ms",
        "distributed.worker.multiprocessing-method": "spawn",
    }


def dask_setup(_worker: Any) -> None:
    """Leave Ctrl-C to the main process, which decides what becomes of this worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def _hidden_main() -> Iterator[None]:
    """Keep new processes from running the user's script or the command line again.

    ``spawn`` imports the main module in each child: seconds and memory for nothing, and an
    endless start in a script without ``if __name__ == "__main__"``.
    """
    main = sys.modules["__main__"]
    kept = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    try:
        for name in kept:
            setattr(main, name, None)
        yield
    finally:
        for name, value in kept.items():
            setattr(main, name, value)
