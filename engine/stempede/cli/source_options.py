"""What is said of a source beside its name: options that several commands take as one."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import typer

from stempede.cli.app import (
    CalibrationFile,
    FrameRange,
    MetadataFile,
    Pattern,
    PixelSize,
    Sample,
    ScaleBar,
    Signal,
    parse_slice,
)

if TYPE_CHECKING:
    from stempede.recipe import Recipe
    from stempede.session import RunOptions, Session


@dataclass(frozen=True)
class FileOptions:
    """Calibration and labels of files, as given on the command line."""

    pixel_size_nm: PixelSize = None
    scale_bar_nm: ScaleBar = None
    metadata: MetadataFile = None
    pattern: Pattern = None
    signal: Signal = None
    sample: Sample = None
    calibration: CalibrationFile = None

    @property
    def told(self) -> dict[str, Any]:
        """Arguments of ``open_frames``; paths as text that holds in any folder."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {n: str(v.absolute()) if isinstance(v, Path) else v for n, v in given.items()}


@dataclass(frozen=True)
class SourceOptions(FileOptions):
    """The same, and a choice of frames, for a source that is all there."""

    frames: FrameRange = None

    @property
    def told(self) -> dict[str, Any]:
        """Arguments of ``open_frames`` and ``Session.open``."""
        return {**super().told, "frames": parse_slice(self.frames)}


def with_source_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the class that its parameter ``said`` has."""
    own = inspect.signature(command, eval_str=True).parameters
    kind = own["said"].annotation
    hints = get_type_hints(kind, include_extras=True)
    names = [field.name for field in fields(kind)]
    keyword = inspect.Parameter.KEYWORD_ONLY
    spread = [inspect.Parameter(n, keyword, default=None, annotation=hints[n]) for n in names]
    parameters: list[inspect.Parameter] = []
    for parameter in own.values():
        parameters += spread if parameter.name == "said" else [parameter.replace(kind=keyword)]

    @wraps(command)
    def taking(**given: Any) -> None:
        said = kind(**{name: given.pop(name) for name in names})
        command(said=said, **given)

    taking.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    taking.__annotations__ = {p.name: p.annotation for p in parameters}
    return taking


def open_session(
    source: str,
    recipe: Recipe,
    changes: list[str],
    out: Path,
    options: RunOptions,
    said: SourceOptions,
    *,
    quiet: bool,
) -> Session:
    """Open a session as the commands do: the recipe changed, the command kept, notes said.

    Raises
    ------
    RecipeError, InputError
        As ``Recipe.set`` and ``Session.open`` do.
    """
    from stempede.session import Session

    session = Session.open(
        source,
        recipe.set(*changes) if changes else recipe,
        out,
        options,
        provenance={"command": " ".join(sys.argv)},
        **said.told,
    )
    for note in () if quiet else session.frames.notes:
        typer.echo(note, err=True)
    return session
