"""Records of arrays that share their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Self

import numpy as np


class Rows:
    """Base of a dataclass whose every field is an array of n rows."""

    def __len__(self) -> int:
        return len(getattr(self, _names(self)[0]))

    def __getitem__(self, rows: slice | np.ndarray) -> Self:
        return type(self)(*(getattr(self, name)[rows] for name in _names(self)))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the rows of all parts, one after another."""
        names = _names(cls)
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def _names(of: Any) -> list[str]:
    return [field.name for field in fields(of)]
