"""Networks: TorchScript and its card, checked, warmed up, run in batches that fit.

A network is two files that lie together: ``NAME.pt``, read by ``torch.jit.load`` alone (nothing
is unpickled), and ``NAME.json``, its card: what it is, what it takes and gives, how it was
trained, how well it did on what it had not seen, and the hash of the other file. A network is
run only if the two belong together and the card names what is asked for.

Images stay where they are: on a GPU tensors are handed over through DLPack, on the one stream
that CuPy, Triton and torch share.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from stempede.backend import Backend
from stempede.errors import ModelError
from stempede_kernels.interop import as_cupy, as_torch

log = logging.getLogger("stempede")

SHIPPED = Path(__file__).parent / "models" / "weights"
"""Where the networks lie that come with the package."""

INSTALL = "pip install torch"

_CARD_FIELDS = ("name", "kind", "sha256", "input_shape", "pixel_scale_nm", "batch")
# pixel sizes are known to a few per cent
_SCALE_TOLERANCE = 0.1
# of the free memory; the images themselves and the other stages take the rest
_MEMORY_SHARE = 0.25
# beyond are hot pixels, dust and the few brightest of very few particles
_STANDARD_RANGE = (-4.0, 8.0)
# a matrix product sums the rows that fill its blocks in another order than the rest: in
# batches of whole blocks an image has the same answer wherever it stands
_STEP = 16


@dataclass(frozen=True)
class Card:
    """What a network's card says; ``text`` is the whole of it.

    Parameters
    ----------
    name, kind : str
        ``kind`` is what the network does (``shape``).
    sha256 : str
        Hash of the weights.
    input_shape : tuple of int
        Height and width of an image; 0 for any.
    pixel_scale_nm : float or None
        Pixel size the network was trained at; None if it knows no scale.
    batch : mapping of str to int
        Images run together, by backend, and ``bytes`` that one of them takes on its way.
    """

    name: str
    kind: str
    sha256: str
    input_shape: tuple[int, ...]
    pixel_scale_nm: float | None
    batch: Mapping[str, int]
    text: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, path: Path) -> Card:
        """Read the card beside a network's weights.

        Raises
        ------
        ModelError
            If there is none, or it is not a card.
        """
        try:
            text = json.loads(path.read_text("utf-8"))
        except OSError as error:
            raise ModelError(
                f"a network wants its card beside it; found no {path}; "
                "copy both files, or train again"
            ) from error
        except ValueError as error:
            raise ModelError(f"{path} is no card: not JSON ({error}); copy it again") from error
        missing = [f for f in _CARD_FIELDS if not isinstance(text, dict) or f not in text]
        if missing:
            raise ModelError(
                f"the card {path} lacks {', '.join(missing)}; copy it again, or train again"
            )
        shape = tuple(int(side or 0) for side in text["input_shape"])
        known = {name: text[name] for name in _CARD_FIELDS if name != "input_shape"}
        return cls(**known, input_shape=shape, text=text)


@dataclass(frozen=True, eq=False)
class Network:
    """A network ready to run; use ``Network.load``.

    Parameters
    ----------
    card : Card
    module : torch.jit.ScriptModule
    backend : Backend
    batch : int
        Images run together.
    """

    card: Card
    module: Any
    backend: Backend
    batch: int

    @classmethod
    def load(
        cls,
        weights: str | Path,
        backend: Backend,
        *,
        kind: str,
        pixel_size_nm: float | None = None,
        without: str = "",
    ) -> Network:
        """Load a network and its card, check both, and run it once.

        Parameters
        ----------
        weights : str or Path
            Name of a shipped network (``shape``), or a ``.pt`` file with its ``.json``.
        backend : Backend
            Where it will run.
        kind : str
            What it has to be.
        pixel_size_nm : float, optional
            Pixel size of the images, for networks that know a scale.
        without : str
            What a user can do who has no torch; ends that message.

        Raises
        ------
        ModelError
            If torch is missing, a file is not what it should be, the hash differs, or the card
            names another kind or another scale.
        """
        require_torch(str(weights), without)
        path = find(weights)
        card = check(path, kind=kind, pixel_size_nm=pixel_size_nm)
        place = "cuda" if backend.is_gpu else "cpu"
        sides = tuple(side or 64 for side in card.input_shape)
        module = _module(str(path), card.sha256, place, sides)
        wanted = int(card.batch.get(backend.name, card.batch["cpu"]))
        fits = int(backend.free_bytes() * _MEMORY_SHARE / max(int(card.batch.get("bytes", 1)), 1))
        return cls(card, module, backend, max(1, min(wanted, fits)))

    def __call__(self, images: Any) -> dict[str, Any]:
        """Return what the network says of each image.

        Parameters
        ----------
        images : (n, h, w) float32 array
            On the backend's device.

        Returns
        -------
        dict of str to array
            Each with n rows, on the backend's device. The same whatever else is in the batch,
            unless memory holds no 16 images.

        Raises
        ------
        ModelError
            If the images have another shape than the card names.
        """
        self._check_shape(images.shape)
        torch = importlib.import_module("torch")
        with torch.inference_mode(), _one_thread(torch):
            tensor = as_torch(self.backend.xp.ascontiguousarray(images, dtype=np.float32))
            parts = self._run(tensor, self.batch)
            names = parts[0].keys()
            whole = {name: torch.cat([part[name] for part in parts]) for name in names}
        return {name: self._give(value) for name, value in whole.items()}

    def _run(self, tensor: Any, batch: int) -> list[Mapping[str, Any]]:
        """Run all images in batches; half as many at once whenever memory runs out."""
        script_error = importlib.import_module("torch").jit.Error
        parts: list[Mapping[str, Any]] = []
        start = 0
        # no images: one empty batch, so that every output is there with no rows
        while start < len(tensor) or not parts:
            try:
                parts.append(self._answer(tensor[start : start + batch], min(batch, _STEP)))
            except (RuntimeError, MemoryError, script_error) as error:
                if not self._ran_out(error):
                    raise
                if batch == 1:
                    raise MemoryError(
                        f"network '{self.card.name}' has no memory for a single image; "
                        "give it more, or close what else uses the device"
                    ) from error
                batch //= 2
                self.backend.release()
                log.info("network '%s': out of memory, %d images at once", self.card.name, batch)
                continue
            start += batch
        return parts

    def _answer(self, images: Any, step: int) -> Mapping[str, Any]:
        """Run one batch, filled up with its last image to whole steps."""
        torch = importlib.import_module("torch")
        missing = -len(images) % step
        filled = torch.cat([images, images[-1:].expand(missing, *images.shape[1:])])
        answer = self.module(filled)
        return {name: value[: len(images)] for name, value in answer.items()}

    def _ran_out(self, error: BaseException) -> bool:
        # from within TorchScript, and on a CPU, torch says so in words only
        words = ("can't allocate memory", "out of memory")
        return self.backend.is_out_of_memory(error) or any(w in str(error) for w in words)

    def _give(self, tensor: Any) -> Any:
        return as_cupy(tensor) if self.backend.is_gpu else tensor.numpy()

    def _check_shape(self, shape: Sequence[int]) -> None:
        wanted = self.card.input_shape
        fits = len(shape) == 3 and all(w in (0, s) for w, s in zip(wanted, shape[1:]))
        if not fits:
            sides = ", ".join(str(w or "any") for w in wanted)
            raise ModelError(
                f"network '{self.card.name}' takes (n, {sides}) images; "
                f"found {tuple(shape)}; cut them to that size"
            )


def standardised(image: Any, valid: Any, xp: ModuleType = np) -> Any:
    """Return a (y, x) image less its median, over its standard deviation about it, bounded.

    What networks take that look at whole frames: it knows neither counts nor noise, and keeps
    what one frame's particles have in common. Pixels that are not valid become 0.

    Parameters
    ----------
    image : (y, x) float32 array
    valid : (y, x) bool array
    """
    seen = image[valid]
    if not seen.size:
        return xp.zeros_like(image)
    away = image - xp.float32(xp.median(seen))
    spread = float(xp.sqrt(xp.mean(away[valid] ** 2)))
    away *= valid / xp.float32(max(spread, 1e-12))
    return xp.clip(away, *_STANDARD_RANGE)


def find(weights: str | Path) -> Path:
    """Return the file of a network: a shipped one by name, any other by its path.

    Raises
    ------
    ModelError
        If there is no such file.
    """
    shipped = SHIPPED / f"{weights}.pt"
    path = shipped if shipped.is_file() else Path(weights)
    if path.is_file():
        return path
    names = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.pt"))) or "none"
    raise ModelError(
        f"a network is a .pt file or the name of a shipped one ({names}); found '{weights}'; "
        "correct it"
    )


def check(path: Path, *, kind: str, pixel_size_nm: float | None = None) -> Card:
    """Return a network's card if weights and card belong together and are what is wanted.

    Needs no torch: a run can be refused before anything is loaded.

    Raises
    ------
    ModelError
        See ``Network.load``.
    """
    card = Card.read(path.with_suffix(".json"))
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != card.sha256:
        raise ModelError(
            f"the card of '{path}' names weights with the hash {card.sha256[:12]}…; found "
            f"{found[:12]}…: the file is cut short or belongs to another card; copy both again"
        )
    if card.kind != kind:
        raise ModelError(
            f"a network of kind '{kind}' is wanted; the card of '{path}' says '{card.kind}'; "
            "choose another model"
        )
    scale = card.pixel_scale_nm
    if scale and pixel_size_nm and abs(pixel_size_nm / scale - 1) > _SCALE_TOLERANCE:
        raise ModelError(
            f"model '{card.name}' expects {scale:g} nm/px, the images have {pixel_size_nm:g} "
            "nm/px; resample them, or choose another model"
        )
    return card


def require_torch(weights: str, without: str = "") -> ModuleType:
    """Return torch.

    Raises
    ------
    ModelError
        If it cannot be imported; says how to install it, and what works without.
    """
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        instead = f", or {without}" if without else ""
        raise ModelError(
            f"network '{weights}' wants torch, which cannot be imported ({error}); "
            f"{INSTALL}{instead}"
        ) from error


@contextlib.contextmanager
def _one_thread(torch: Any) -> Iterator[None]:
    """Let each image be summed in one order: threads would cut a batch by their number.

    Workers hold one thread each by default; the cores are busy without this one's threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@lru_cache(maxsize=8)
def _module(path: str, sha256: str, device: str, sides: tuple[int, ...]) -> Any:
    """Load a TorchScript file and run it twice: the first calls compile and choose algorithms.

    Kept, for a stage asks anew with every batch; ``sha256`` is part of the key, so that a file
    written anew is read anew.
    """
    torch = importlib.import_module("torch")
    with warnings.catch_warnings():
        # TorchScript is what ships; its successor is weighed in the bench
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=Warning)
        try:
            module = torch.jit.load(io.BytesIO(Path(path).read_bytes()), map_location=device)
        except (RuntimeError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            raise ModelError(
                f"'{path}' should be TorchScript; torch.jit.load says: {first}; "
                "export the network again with `stempede train`"
            ) from error
    module.eval()
    if next(module.parameters(), None) is not None:
        # kept apart in files from which a training may start
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*torch.jit.*", category=Warning)
            module = torch.jit.freeze(module)
    with torch.inference_mode():
        for _ in range(2):
            module(torch.zeros((2, *sides), device=device))
    return module
