"""Which files a source means: folders, globs, single files, sequences and URLs."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from stempede.errors import InputError

_URL = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.\-]+://")
_ZARR_MARKS = ("zarr.json", ".zarray", ".zgroup")
_RUN_MARK = "run.json"

Source = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclass(frozen=True)
class Place:
    """A file or zarr folder, and its path below what the user named.

    Parameters
    ----------
    path : str
        Absolute POSIX path, or URL.
    relative : str
        POSIX path below the source's folder, by which frames are sorted and labels matched.
    is_zarr : bool
    """

    path: str
    relative: str
    is_zarr: bool = False


def is_url(text: str) -> bool:
    """Whether a source is an fsspec URL."""
    return bool(_URL.match(text))


def suffix_of(path: str) -> str:
    """Return the lower-case extension of a path or URL, without a URL's query."""
    name = path.split("?", 1)[0] if is_url(path) else path
    return PurePosixPath(name).suffix.lower()


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Return a sort key in which ``a2`` comes before ``a10``."""
    parts = re.split(r"(\d+)", text)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts]


def expand(source: Source, extensions: Iterable[str], notes: list[str]) -> list[Place]:
    """Return the files a source means, each once, naturally sorted within each item.

    Parameters
    ----------
    source : str, path or sequence of them
        Folders are read recursively; hidden files and other extensions are passed over.
    extensions : iterable of str
        Lower case, with the dot.
    notes : list of str
        Receives sentences about what was passed over.

    Raises
    ------
    InputError
        Nothing is there, or nothing of what is there is an image.
    """
    known = frozenset(extensions)
    items = [source] if isinstance(source, str | os.PathLike) else list(source)
    if not items:
        raise InputError("a folder, file or glob of images wanted, found an empty list; name one")
    places: dict[str, Place] = {}
    for item in items:
        text = os.fspath(item)
        if text.startswith(("file://", "local://")):
            text = remote_filesystem(text)[1]
        found = _from_url(text, known) if is_url(text) else _from_path(text, known, notes)
        found.sort(key=lambda p: natural_key(p.relative))
        for place in found:
            places.setdefault(place.path, place)
    return list(places.values())


def _from_path(text: str, known: frozenset[str], notes: list[str]) -> list[Place]:
    path = Path(text).expanduser()
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow symlinks
    if is_zarr_folder(absolute):
        return [Place(absolute.as_posix(), absolute.name, is_zarr=True)]
    if absolute.is_dir():
        found = _walk(absolute, known, notes)
        if not found:
            raise InputError(
                f"a folder with images wanted, found none in '{text}'; "
                f"readable are {', '.join(sorted(known))} and zarr"
            )
        return found
    if absolute.exists():
        if absolute.suffix.lower() not in known:
            raise InputError(
                f"an image wanted, found '{text}' of an unknown kind; "
                f"readable are {', '.join(sorted(known))} and zarr"
            )
        return [Place(absolute.as_posix(), absolute.name)]
    if any(c in text for c in "*?["):
        return _from_glob(text, known)
    raise InputError(f"images wanted, found no file or folder '{text}'; check the path")


def _from_glob(text: str, known: frozenset[str]) -> list[Place]:
    pattern = os.path.abspath(Path(text).expanduser())  # noqa: PTH100
    fixed = pattern[: re.search(r"[*?\[]", pattern).start()]  # type: ignore[union-attr]
    root = fixed.rpartition("/")[0] or "/"
    found = []
    for name in glob.iglob(pattern, recursive=True):  # noqa: PTH207 - Path.glob lacks absolute ones
        path = Path(name)
        relative = PurePosixPath(path.as_posix()).relative_to(root).as_posix()
        if any(part.startswith(".") for part in Path(relative).parts):
            continue
        if is_zarr_folder(path):
            found.append(Place(path.as_posix(), relative, is_zarr=True))
        elif path.suffix.lower() in known and not path.is_dir():
            found.append(Place(path.as_posix(), relative))
    if not found:
        raise InputError(f"images wanted, found none that match '{text}'; check the glob")
    return found


def is_zarr_folder(path: Path) -> bool:
    """Whether a folder is a zarr array or group (a zspy file is one too, read as such)."""
    if path.suffix.lower() == ".zspy" or not path.is_dir():
        return False
    return path.suffix.lower() == ".zarr" or any((path / m).is_file() for m in _ZARR_MARKS)


def is_zarr(source: str) -> bool:
    """Whether a record's source is a zarr store, local or by URL."""
    if is_url(source):
        return source.rstrip("/").lower().endswith(".zarr")
    return is_zarr_folder(Path(source))


def _walk(root: Path, known: frozenset[str], notes: list[str]) -> list[Place]:
    """Return images below a folder; symlinked folders are followed once."""
    found: list[Place] = []
    seen = {_identity(root)}
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            entries = sorted(folder.iterdir())
        except OSError as error:
            notes.append(f"a folder cannot be read and was passed over ({error.strerror})")
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            relative = entry.relative_to(root).as_posix()
            if is_zarr_folder(entry):
                found.append(Place(entry.as_posix(), relative, is_zarr=True))
            elif entry.is_dir() and entry.suffix.lower() != ".zspy":
                if (entry / _RUN_MARK).is_file():
                    notes.append("run folders were passed over")
                elif (identity := _identity(entry)) not in seen:
                    seen.add(identity)
                    pending.append(entry)
            elif entry.suffix.lower() in known:
                found.append(Place(entry.as_posix(), relative))
    return found


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _from_url(url: str, known: frozenset[str]) -> list[Place]:
    files, root = _remote(url)
    protocol = url.split("://", 1)[0]
    found: dict[str, Place] = {}
    for name, size in files.items():
        relative = name[len(root) :].lstrip("/") if name.startswith(root) else name.rsplit("/")[-1]
        relative = relative or name.rsplit("/")[-1]
        parts = relative.split("/")
        if any(p.startswith(".") and p not in _ZARR_MARKS for p in parts):
            continue
        inside = next((k for k, p in enumerate(parts) if p.lower().endswith(".zarr")), None)
        if inside is not None:
            below = "/".join(parts[inside + 1 :])
            path = name[: len(name) - len(below)].strip("/")
            place = Place(f"{protocol}://{path}", "/".join(parts[: inside + 1]), is_zarr=True)
            found.setdefault(place.path, place)
        elif suffix_of(name) in known and size != 0:
            path = name if is_url(name) else f"{protocol}://{name.lstrip('/')}"
            found.setdefault(path, Place(path, relative))
    if not found:
        raise InputError(
            f"images wanted, found none at '{url}'; "
            f"readable are {', '.join(sorted(known))} and zarr"
        )
    return list(found.values())


def _remote(url: str) -> tuple[dict[str, int | None], str]:
    """Return the files at a URL with their sizes, and the folder they are relative to."""
    filesystem, path = remote_filesystem(url)
    try:
        if re.search(r"\.zarr/?$", path, re.IGNORECASE):
            return {path.rstrip("/") + "/zarr.json": None}, path.rstrip("/").rpartition("/")[0]
        if any(c in path for c in "*?["):
            fixed = path[: re.search(r"[*?\[]", path).start()]  # type: ignore[union-attr]
            names = dict.fromkeys(filesystem.glob(path))
            return names, fixed.rpartition("/")[0]
        if filesystem.isdir(path):
            listed = filesystem.find(path, detail=True)
            return {k: v.get("size") for k, v in listed.items()}, path.rstrip("/")
        if filesystem.exists(path):
            return {path: None}, path.rpartition("/")[0]
    except (OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"images wanted at '{url}', found {error}; check the URL") from error
    raise InputError(f"images wanted, found nothing at '{url}'; check the URL")


def remote_filesystem(url: str) -> tuple[Any, str]:
    """Return the fsspec filesystem of a URL and the path in it.

    Raises
    ------
    InputError
        The protocol is unknown, or its package is not installed.
    """
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise InputError(
            f"'{url}' needs a filesystem package that is not here ({error}); install it with pip"
        ) from error
    return filesystem, str(path)
