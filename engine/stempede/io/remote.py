"""Files at fsspec URLs, copied here while they are read: most readers need a local file."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path

from stempede.errors import InputError
from stempede.io.listing import is_url, remote_filesystem, suffix_of

MOST_BYTES = 2 << 30
"""Local copies kept per process; the least recently used go first."""

_copies: OrderedDict[str, tuple[str, int]] = OrderedDict()
_guard = threading.RLock()
_folder: dict[int, str] = {}


def local_path(source: str) -> str:
    """Return a local path of a file: itself, or a copy of what a URL names.

    Raises
    ------
    InputError
        The URL cannot be read.
    """
    if not is_url(source):
        return source
    with _guard:
        if source in _copies and Path(_copies[source][0]).exists():
            _copies.move_to_end(source)
            return _copies[source][0]
        path = _fetch(source)
        _copies[source] = (path, Path(path).stat().st_size)
        while sum(n for _, n in _copies.values()) > MOST_BYTES and len(_copies) > 1:
            _, (old, _) = _copies.popitem(last=False)
            Path(old).unlink(missing_ok=True)
        return path


def _fetch(source: str) -> str:
    filesystem, path = remote_filesystem(source)
    folder = _folder.get(os.getpid())
    if folder is None:
        folder = _folder[os.getpid()] = tempfile.mkdtemp(prefix="stempede-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # keep the extension: it chooses the reader
    handle, target = tempfile.mkstemp(suffix=suffix_of(source), dir=folder)
    os.close(handle)
    try:
        filesystem.get_file(path, target)
    except OSError as error:
        Path(target).unlink(missing_ok=True)
        raise InputError(f"cannot be fetched ({error}); check the URL and try again") from error
    return target
