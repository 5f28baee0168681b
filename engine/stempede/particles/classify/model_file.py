"""Model file: a classifier as ``model.skops`` with its card ``model.json`` beside it.

No pickle: skops rebuilds known types alone, and what it does not know itself is checked
against a short list. The card holds the hash of the file, the features and their units,
classes, scores, and what it was learnt from.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stempede.errors import ModelError
from stempede.particles.terms import TERMS

FORMAT = "stempede classifier"
VERSION = 1
MODEL, CARD = "model.skops", "model.json"

TRUSTED = (
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
)
"""Types of scikit-learn that skops calls private, and that a classifier is made of."""

_MOST_BYTES = 256 * 2**20
_MOST_UNPACKED = 2**30
_NEEDED = ("sha256", "classes", "features", "terms", "unit", "labels")


@dataclass(frozen=True)
class ModelFile:
    """A classifier that was checked and loaded.

    Parameters
    ----------
    model : object
        Fitted; its classes are codes into ``card["classes"]``.
    card : dict
    path : Path
        Folder it lies in.
    """

    model: Any
    card: dict[str, Any]
    path: Path


def save(folder: Path, model: Any, card: dict[str, Any]) -> dict[str, Any]:
    """Write a model and its card, the card last; return the card with hash and size.

    Raises
    ------
    ModelError
        The folder cannot be written.
    """
    import skops.io

    content = skops.io.dumps(model, compression=zipfile.ZIP_DEFLATED)
    digest = hashlib.sha256(content).hexdigest()
    whole = {
        "format": FORMAT,
        "version": VERSION,
        "file": MODEL,
        "sha256": digest,
        "bytes": len(content),
        **card,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in (
            (MODEL, content),
            (CARD, json.dumps(whole, indent=1, default=str).encode()),
        ):
            temporary = folder / f".{name}"
            temporary.write_bytes(data)
            temporary.replace(folder / name)
    except OSError as error:
        raise ModelError(
            f"cannot write the model into {folder} ({error}); choose another --out"
        ) from error
    return whole


def read_card(folder: Path | str) -> dict[str, Any]:
    """Return the card of a classifier, checked.

    Raises
    ------
    ModelError
        There is no card, or it is not one of a classifier of this version.
    """
    path = Path(folder) / CARD
    wanted = f"wanted the folder of a classifier ({MODEL} and {CARD})"
    if not path.is_file():
        raise ModelError(f"{wanted}, found no {CARD} in {Path(folder)}; check --model")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{wanted}, cannot read {path} ({error}); train it again") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise ModelError(f"{wanted}, but {path} is the card of something else; check --model")
    if card.get("version") != VERSION:
        raise ModelError(
            f"{path} has version {card.get('version')}, this stempede reads version {VERSION}; "
            f"train the classifier again"
        )
    missing = [key for key in _NEEDED if key not in card]
    unknown = [t for t in card.get("terms", []) if t not in TERMS]
    if missing or unknown or not isinstance(card["classes"], list):
        what = f"no {', '.join(missing)}" if missing else f"unknown features {', '.join(unknown)}"
        raise ModelError(f"{path} has {what}; train the classifier again")
    return card


def load(folder: Path | str) -> ModelFile:
    """Return a classifier, having checked hash, size and types before anything is built.

    Raises
    ------
    ModelError
        Something is missing, truncated, exchanged, or of a type that is not known.
    """
    card = read_card(folder)
    path = Path(folder) / MODEL
    content = _checked(path, card)
    import skops.io

    try:
        unknown = set(skops.io.get_untrusted_types(data=content)) - set(TRUSTED)
        if unknown:
            raise ModelError(
                f"{path} wants to build {', '.join(sorted(unknown))}, which no classifier of "
                f"stempede needs; do not trust it"
            )
        model = skops.io.loads(content, trusted=list(TRUSTED))
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{path} is no classifier ({type(error).__name__}: {error}); train it again"
        ) from error
    _refuse_other(path, model, card)
    return ModelFile(model, card, Path(folder))


def _checked(path: Path, card: dict[str, Any]) -> bytes:
    """Return the content of a model file whose size and hash are those of the card."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ModelError(f"{path} is larger than {_MOST_BYTES >> 20} MiB; no classifier is")
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path} ({error}); train the classifier again") from error
    if hashlib.sha256(content).hexdigest() != card["sha256"]:
        size, wanted = len(content), card.get("bytes")
        how = f"it has {size} of {wanted} bytes" if size != wanted else "it was exchanged"
        raise ModelError(f"{path} is not the file that its card names: {how}; train it again")
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} is not a skops file ({error}); train it again") from error
    if unpacked > _MOST_UNPACKED:
        raise ModelError(f"{path} would unpack to {unpacked >> 20} MiB; no classifier does")
    return content


def _refuse_other(path: Path, model: Any, card: dict[str, Any]) -> None:
    """Raise unless the model takes the card's features and knows its classes."""
    from sklearn.calibration import CalibratedClassifierCV

    if not isinstance(model, CalibratedClassifierCV):
        raise ModelError(f"{path} holds a {type(model).__name__}, no classifier; train it again")
    wanted, found = len(card["terms"]), getattr(model, "n_features_in_", None)
    if found != wanted:
        raise ModelError(
            f"{path} takes {found} features, its card names {wanted}; train the classifier again"
        )
    if max(model.classes_, default=-1) >= len(card["classes"]):
        raise ModelError(f"{path} knows more classes than its card; train the classifier again")
