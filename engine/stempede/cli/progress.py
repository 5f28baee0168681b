"""Bars of progress: frames of a run, phases of a training; silent when asked, plain in a pipe."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self


class _Shown:
    """A bar on standard error while its context lasts; none where ``columns`` is empty.

    Parameters
    ----------
    *columns
        Of ``rich.progress``.
    """

    def __init__(self, *columns: Any) -> None:
        self._bar: Any = _make_bar(columns) if columns else None

    def __enter__(self) -> Self:
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


class Progress(_Shown):
    """Shows how far a long command is; use as a context manager and call it with news.

    Parameters
    ----------
    quiet : bool
        Show nothing.
    unit : str
        What is counted besides frames (``particles``); empty for nothing.
    """

    def __init__(self, *, quiet: bool = False, unit: str = "particles") -> None:
        super().__init__(*([] if quiet else _frame_columns(unit)))
        self._task: Any = None
        self._started = time.perf_counter()

    def __call__(self, done: int, total: int, items: int = 0, seconds: float = 0.0) -> None:
        """Take the frames done, the frames in all, the items found and the seconds spent."""
        if self._bar is None:
            return
        if self._task is None:
            self._task = self._bar.add_task("", total=total, items=0, rate="")
        seconds = seconds or time.perf_counter() - self._started
        rate = f"{done / seconds:.1f} frames/s" if seconds > 0 else ""
        self._bar.update(self._task, completed=done, total=total, items=items, rate=rate)


class Phases(_Shown):
    """A bar per phase of a training, with the time left; silent when asked."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(*([] if quiet else _phase_columns()))
        self._tasks: dict[str, Any] = {}

    def __call__(self, phase: str, done: int, total: int, remark: str) -> None:
        """Take what is being done, how much of it is done, of how much, and a remark."""
        if self._bar is None:
            return
        if phase not in self._tasks:
            # the time left is told from what this process did itself
            self._tasks[phase] = self._bar.add_task(phase, total=total, remark="")
        self._bar.update(self._tasks[phase], completed=done, total=total, remark=remark)


def _frame_columns(unit: str) -> list[Any]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    return [
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames"),
        TextColumn("{task.fields[rate]}"),
        *([TextColumn("{task.fields[items]:,} " + unit)] if unit else []),
        TimeRemainingColumn(),
    ]


def _phase_columns() -> list[Any]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    return [
        TextColumn("{task.description:<14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[remark]}"),
    ]


def _make_bar(columns: tuple[Any, ...]) -> Any:
    from rich.console import Console
    from rich.progress import Progress as Bar

    return Bar(*columns, console=Console(file=sys.stderr), transient=False)
