"""The typer application, and the option types that several commands share."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="stempede",
    help="Measures every nanocrystal of thousand-image (S)TEM sessions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Sources = Annotated[
    list[str],
    typer.Argument(help="Folder, glob, file, zarr array, session.zarr, or an fsspec URL."),
]
Source = Annotated[
    str, typer.Argument(help="Folder, glob, file, zarr array, session.zarr, or an fsspec URL.")
]
Run = Annotated[Path, typer.Argument(help="Folder of a run.")]
RecipeOption = Annotated[
    str, typer.Option("--recipe", help="Name of a shipped recipe, or a TOML file.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a parameter: stage.parameter=value. May be repeated."),
]
PixelSize = Annotated[
    float | None, typer.Option("--pixel-size-nm", help="Pixel size, over what the files say.")
]
ScaleBar = Annotated[
    float | None,
    typer.Option("--scale-bar-nm", help="Length of the burned-in scale bar, measured per image."),
]
MetadataFile = Annotated[
    Path | None,
    typer.Option("--metadata", help="CSV: glob, then labels and facts of the files that match."),
]
Pattern = Annotated[
    str | None, typer.Option(help="Folder names to labels, such as '{sample}/{condition}'.")
]
Signal = Annotated[
    str | None, typer.Option("--signal", help="Which image of files that hold several signals.")
]
Sample = Annotated[str | None, typer.Option("--sample", help="Label of all frames.")]
CalibrationFile = Annotated[
    Path | None, typer.Option("--calibration", help="JSON written by `stempede calibrate`.")
]
FrameRange = Annotated[
    str | None, typer.Option("--frames", help="Only these: 0:20, ::10, or one number.")
]


def _errors_only(wanted: bool) -> bool:
    """Keep the notes of the engine from the screen too."""
    if wanted:
        logging.getLogger("stempede").setLevel(logging.ERROR)
    return wanted


Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print errors only.", callback=_errors_only)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]


def parse_slice(text: str | None) -> slice | None:
    """Read ``0:20``, ``::10`` or ``7`` as a slice.

    Raises
    ------
    typer.BadParameter
        The text is not a range of integers.
    """
    if text is None:
        return None
    parts = text.split(":")
    try:
        numbers = [int(p) if p.strip() else None for p in parts]
    except ValueError as error:
        raise typer.BadParameter(f"--frames wants start:stop:step, found '{text}'") from error
    if len(numbers) == 1 and numbers[0] is not None:
        return slice(numbers[0], numbers[0] + 1 or None)
    if not 2 <= len(numbers) <= 3:
        raise typer.BadParameter(f"--frames wants start:stop:step, found '{text}'")
    return slice(*numbers)


def parse_bytes(text: str | None) -> int | None:
    """Read ``4GiB``, ``500 MB`` or ``2e9`` as bytes.

    Raises
    ------
    typer.BadParameter
        The text is not an amount of memory.
    """
    if text is None:
        return None
    units = {"": 1, "B": 1}
    for power, letter in enumerate("KMGT", start=1):
        units[f"{letter}B"], units[f"{letter}IB"] = 1000**power, 1024**power
    number = text.strip().rstrip("BbIiKkMmGgTt").strip()
    unit = text.strip()[len(number) :].strip().upper()
    try:
        amount = float(number) * units[unit]
    except (ValueError, KeyError) as error:
        raise typer.BadParameter(f"memory is an amount such as 4GiB, found '{text}'") from error
    if amount <= 0:
        raise typer.BadParameter(f"memory must be above zero, found '{text}'")
    return int(amount)
