"""Reference: measure the pixel size on one image and write it for other images to use."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from stempede.errors import InputError
from stempede.stage import door


@dataclass(frozen=True)
class Reference:
    """A calibration measured on a reference, as it stands in its JSON file.

    Parameters
    ----------
    pixel_size_y_nm, pixel_size_x_nm : float
        nm per pixel.
    rel_u : float
        Relative standard uncertainty.
    angle_deg : float
        Direction of the lattice's first spacing.
    method : str
        What was measured, in words.
    reference : str
        File it was measured on.
    date : str
        When, ISO 8601, UTC.
    out : Path
        Where it was written.
    """

    pixel_size_y_nm: float
    pixel_size_x_nm: float
    rel_u: float
    angle_deg: float
    method: str
    reference: str
    date: str
    out: Path

    def as_dict(self) -> dict[str, Any]:
        """Return the content of the JSON file, which ``open_frames(calibration=…)`` reads."""
        return {
            "pixel_size_y_nm": self.pixel_size_y_nm,
            "pixel_size_x_nm": self.pixel_size_x_nm,
            "rel_u": self.rel_u,
            "source": "reference",
            "reference": self.reference,
            "method": self.method,
            "angle_deg": self.angle_deg,
            "date": self.date,
        }

    def describe(self, *, as_json: bool = False) -> str:
        """Return the result as JSON, or in two lines for people."""
        if as_json:
            return json.dumps(self.as_dict(), indent=1)
        return (
            f"{self.pixel_size_y_nm:.6g} nm/px along y, {self.pixel_size_x_nm:.6g} along x, "
            f"± {100 * self.rel_u:.2g} % ({self.method})\n"
            f"written to {self.out}; use it with --calibration {self.out}"
        )


def calibrate(
    reference: str | Path,
    out: Path | str,
    *,
    lattice_nm: float | None = None,
    scale_bar_nm: float | None = None,
    signal: str | None = None,
) -> Reference:
    """Measure the pixel size on a reference image and write it as JSON.

    Parameters
    ----------
    reference : str or Path
        Image of a crystal, or with a burned-in scale bar; the first image of several is used.
    out : Path
        JSON file, replaced when it is there.
    lattice_nm, scale_bar_nm : float, optional
        Exactly one: the spacing of the widest planes, or the length of the bar.
    signal : str, optional
        Which signal of a file with several.

    Raises
    ------
    InputError
        The reference cannot be read, shows neither, or the JSON cannot be written.
    """
    frames = door("open_frames")(str(reference), signal=signal)
    if not frames.readable:
        why = next((r.problem for r in frames.records), "no image in it")
        raise InputError(f"the reference '{reference}' cannot be read: {why}")
    record = frames.readable[0]
    found = door("calibrate")(frames.load(record), lattice_nm=lattice_nm, scale_bar_nm=scale_bar_nm)
    result = Reference(
        pixel_size_y_nm=found.pixel_size_y_nm,
        pixel_size_x_nm=found.pixel_size_x_nm,
        rel_u=found.rel_u,
        angle_deg=found.angle_deg,
        method=found.how,
        reference=record.source,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        out=Path(out),
    )
    _write(result)
    return result


def _write(result: Reference) -> None:
    """Write the JSON under a name that begins with a dot, then rename it."""
    temporary = result.out.with_name(f".{result.out.name}-{uuid4().hex}")
    try:
        temporary.write_text(json.dumps(result.as_dict(), indent=1) + "\n", encoding="utf-8")
        temporary.replace(result.out)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(
            f"cannot write the calibration to {result.out} ({error}); choose another --out"
        ) from error
