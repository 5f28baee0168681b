"""A progress bar with frames/s, items and time left; silent when asked, plain in a pipe."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any


class Progress:
    """Shows how far a long command is; use as a context manager and call it with news.

    Parameters
    ----------
    quiet : bool
        Show nothing.
    unit : str
        What is counted besides frames (``particles``); empty for nothing.
    """

    def __init__(self, *, quiet: bool = False, unit: str = "particles") -> None:
        self._unit = unit
        self._bar: Any = None if quiet else _make_bar(unit)
        self._task: Any = None
        self._started = time.perf_counter()

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int, total: int, items: int = 0, seconds: float = 0.0) -> None:
        """Take the frames done, the frames in all, the items found and the seconds spent."""
        if self._bar is None:
            return
        if self._task is None:
            self._task = self._bar.add_task("", total=total, items=0, rate="")
        seconds = seconds or time.perf_counter() - self._started
        rate = f"{done / seconds:.1f} frames/s" if seconds > 0 else ""
        self._bar.update(self._task, completed=done, total=total, items=items, rate=rate)


def _make_bar(unit: str) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    return Bar(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames"),
        TextColumn("{task.fields[rate]}"),
        *([TextColumn("{task.fields[items]:,} " + unit)] if unit else []),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        transient=False,
    )
