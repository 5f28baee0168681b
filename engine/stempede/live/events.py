"""Events: what happens in a watched run, as lines of JSON that others can follow."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import deque
from pathlib import Path
from typing import Any

from stempede.provenance import now


class Events:
    """Writes each event to ``RUN/live/events.jsonl`` and, where asked, elsewhere.

    Parameters
    ----------
    run : Path
        Run folder.
    also : str, optional
        A file that grows, or ``-`` for the standard output.
    """

    def __init__(self, run: Path, also: str | None = None) -> None:
        self._paths = [run / "live" / "events.jsonl"]
        self._paths[0].parent.mkdir(parents=True, exist_ok=True)
        self._out = also == "-"
        if also not in (None, "-"):
            self._paths.append(Path(str(also)))
        self.last: deque[dict[str, Any]] = deque(maxlen=50)

    def __call__(self, event: str, **facts: Any) -> None:
        """Write one event; a disk that is full loses it and nothing else."""
        entry = {"event": event, "at": now(), **facts}
        line = json.dumps(entry, ensure_ascii=False, default=str)
        if event != "measured":
            self.last.append(entry)
        for path in self._paths:
            with contextlib.suppress(OSError), path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        if self._out:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
