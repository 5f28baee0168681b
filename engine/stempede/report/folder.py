"""A run folder as the report reads it: run.json, and tables column by column."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stempede.errors import ResultsError


@dataclass(frozen=True)
class Columns:
    """Columns of a table that a run may lack in whole or in part."""

    values: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.values.values()), ()))

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def __getitem__(self, name: str) -> np.ndarray:
        """Return a column; one that is not there is missing throughout (NaN)."""
        found = self.values.get(name)
        return np.full(len(self), np.nan) if found is None else found

    def text(self, name: str) -> list[str]:
        """Return a column as text, empty where missing."""
        return [str(v) for v in self.values.get(name, [""] * len(self))]

    def flags(self, name: str) -> np.ndarray:
        """Return a column as booleans, False where missing."""
        found = self.values.get(name)
        return np.zeros(len(self), bool) if found is None else np.asarray(found, bool)

    def rows(self) -> list[dict[str, Any]]:
        """Return one dictionary per row; for small tables."""
        names = list(self.values)
        columns = [self.values[n].tolist() for n in names]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def take(self, rows: np.ndarray) -> Columns:
        """Return the rows of a mask or an index array."""
        return Columns({k: v[rows] for k, v in self.values.items()})


@dataclass(frozen=True)
class RunFolder:
    """The results of a run, read when asked for.

    Parameters
    ----------
    path : Path
        Run folder with a run.json.
    document : mapping
        Contents of run.json.
    computed : mapping of str to Columns
        Tables that stand for those on disk.
    """

    path: Path
    document: Mapping[str, Any]
    computed: Mapping[str, Columns] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path | str) -> RunFolder:
        """Read run.json of a run folder.

        Raises
        ------
        ResultsError
            The folder is not a run, or its run.json is not JSON.
        """
        path = Path(path)
        try:
            document = json.loads((path / "run.json").read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ResultsError(
                f"a run folder with run.json was wanted, {path} has none; "
                "name the folder that `stempede run --out` wrote"
            ) from error
        except ValueError as error:
            raise ResultsError(f"{path / 'run.json'} is not JSON ({error})") from error
        if not isinstance(document, dict):
            raise ResultsError(f"{path / 'run.json'} is not a JSON object")
        run = cls(path, {**_totals(path, document), **document})
        if not run.provisional:
            return run
        from stempede.report.provisional import reduced_so_far

        made = reduced_so_far(path, document)
        return replace(run, computed={name: Columns(t.columns) for name, t in made.items()})

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.resolve().name

    @property
    def state(self) -> str:
        """``running``, ``interrupted`` or ``done``; empty if run.json does not say."""
        return str(self.document.get("state", ""))

    @property
    def provisional(self) -> bool:
        """Whether more is to come, or the reductions have not run over all of it."""
        return self.state != "done" or self.document.get("reduced") is False

    def columns(self, table: str, names: Sequence[str] | None = None) -> Columns:
        """Read a table, or some columns of it; one that is not there has no rows."""
        if table in self.computed:
            return self.computed[table]
        folder = self.path / table
        # names that begin with a dot are being written
        parts = sorted(p for p in folder.glob("*.parquet") if not p.name.startswith("."))
        if not parts:
            return Columns({n: np.zeros(0) for n in names or ()})
        import pyarrow as pa
        import pyarrow.parquet as pq

        known = pq.read_schema(parts[0]).names
        wanted = known if names is None else [n for n in names if n in known]
        stacked = pa.concat_tables(
            [pq.ParquetFile(p).read(columns=wanted) for p in parts],
            promote_options="default",
        )
        return Columns({n: _to_numpy(stacked.column(n)) for n in wanted})

    @cached_property
    def frames(self) -> Columns:
        """The frames table."""
        return self.columns("frames")

    @cached_property
    def problems(self) -> Columns:
        """The problems table."""
        return self.columns("problems")


def _totals(path: Path, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the times of a run that was killed before it could add them up."""
    if "timings" in document:
        return {}
    from stempede.io.results import Results
    from stempede.provenance import totals

    return totals(Results(path).summaries())


def _to_numpy(column: Any) -> np.ndarray:
    """Return an Arrow column with missing values as in memory: NaN, -1, empty text."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.asarray([v or "" for v in column.to_pylist()], dtype=object)
    if pa.types.is_boolean(kind):
        return np.asarray(column.fill_null(False).to_numpy(zero_copy_only=False), dtype=bool)
    if pa.types.is_integer(kind) and column.null_count:
        column = column.fill_null(-1)
    return np.asarray(column.to_numpy())
