"""What decoding a zarr chunk would take, looked up before it is decoded.

A chunk from outside may hold far more than its array declares. Blosc, zstd and gzip write the
decoded size into the chunk; a local chunk that announces more than the array allows is refused.
Chunks inside shards and on remote stores are held to the declared size by their decoder alone.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

from stempede.errors import InputError
from stempede.io.image import check_memory

_HEADER_BYTES = 32
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_GZIP_MAGIC = b"\x1f\x8b"


def check_chunks(array: Any, index: tuple[int, ...]) -> None:
    """Raise where the chunks of one plane cannot be decoded safely.

    Parameters
    ----------
    array : zarr.Array
    index : tuple of int
        Leading indices of the plane.

    Raises
    ------
    InputError
        A chunk does not fit in memory, or announces more than the array declares.
    """
    chunks = tuple(int(n) for n in array.chunks)
    itemsize = array.dtype.itemsize
    # each chunk that touches the plane is decoded whole
    counts = [-(-int(s) // c) for s, c in zip(array.shape[-2:], chunks[-2:])]
    check_memory((math.prod(counts), *chunks), itemsize)
    root = getattr(array.store_path.store, "root", None)
    if root is None or getattr(array, "shards", None) is not None:
        return
    declared = math.prod(chunks) * itemsize
    leading = tuple(i // c for i, c in zip(index, chunks))
    folder = Path(root) / array.store_path.path
    for corner in itertools.product(*(range(n) for n in counts)):
        path = folder / array.metadata.encode_chunk_key((*leading, *corner))
        announced = _announced(path)
        if announced is not None and announced > 2 * declared + 1024:
            raise InputError(
                f"a chunk of {declared} bytes wanted, found one that unpacks to {announced}; "
                f"the file is damaged or hostile"
            )


def _announced(path: Path) -> int | None:
    """Return the decoded size a chunk file announces; None where it tells none."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER_BYTES)
            if head.startswith(_GZIP_MAGIC):
                file.seek(-4, 2)
                return int.from_bytes(file.read(4), "little")
    except OSError:
        return None
    if head.startswith(_ZSTD_MAGIC):
        return _zstd_size(head)
    # blosc: version 1 or 2, then flags; its own sizes must fit the file
    is_blosc = len(head) >= 16 and head[0] in (1, 2) and head[1] in (1, 2)
    if is_blosc and int.from_bytes(head[12:16], "little") == path.stat().st_size:
        return int.from_bytes(head[4:8], "little")
    return None


def _zstd_size(head: bytes) -> int | None:
    """Return the content size of a zstd frame (RFC 8878, 3.1.1.1)."""
    flags = head[4]
    single, size_flag = flags >> 5 & 1, flags >> 6
    start = 5 + (0 if single else 1) + (0, 1, 2, 4)[flags & 3]
    length = (1 if single else 0, 2, 4, 8)[size_flag]
    if not length:
        return None
    size = int.from_bytes(head[start : start + length], "little")
    return size + 256 if length == 2 else size
