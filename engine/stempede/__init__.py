"""Measures every nanocrystal and atom column of thousand-image (S)TEM sessions.

Public names: ``open_frames``, ``Recipe``, ``Session``, ``Backend``, ``Table``. They are
imported when first used, so that ``import stempede`` stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Backend", "Recipe", "Session", "Table", "__version__", "open_frames"]

_HOME = {
    "Backend": "stempede.backend",
    "Recipe": "stempede.recipe",
    "Session": "stempede.session",
    "Table": "stempede.tables",
}

if TYPE_CHECKING:
    from stempede.backend import Backend
    from stempede.io.sources import open_frames
    from stempede.recipe import Recipe
    from stempede.session import Session
    from stempede.tables import Table


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name == "open_frames":
        from stempede.stage import door

        return door("open_frames")
    raise AttributeError(f"module 'stempede' has no attribute '{name}'")
