"""Hand arrays from one library to another without a copy (DLPack)."""

import importlib
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray


def torch() -> ModuleType:
    """Import torch, on first use."""
    return importlib.import_module("torch")


def as_numpy(array: Any) -> NDArray[Any]:
    """View an array in host memory as NumPy; the memory is shared.

    Parameters
    ----------
    array : ndarray or tensor
        NumPy array or torch tensor in host memory.

    Raises
    ------
    TypeError
        If the array lies on a GPU: a copy over the bus is never made silently.
    """
    if isinstance(array, np.ndarray):
        return array
    device = getattr(array, "device", None)
    if getattr(device, "type", "cuda") != "cpu":
        raise TypeError(
            f"an array in host memory was expected, found one on {device}; download it first"
        )
    view: NDArray[Any] = array.detach().numpy()
    return view


def as_torch(array: Any) -> Any:
    """View a NumPy, CuPy or torch array as a torch tensor; the memory is shared.

    A NumPy array that is not writable is copied, since torch has no such notion.
    """
    library = torch()
    if isinstance(array, library.Tensor):
        return array
    if isinstance(array, np.ndarray):
        return library.from_numpy(array if array.flags.writeable else array.copy())
    return library.from_dlpack(array)


def as_cupy(array: Any) -> Any:
    """View a torch tensor on a GPU as a CuPy array; the memory is shared."""
    cupy = importlib.import_module("cupy")
    if isinstance(array, cupy.ndarray):
        return array
    return cupy.from_dlpack(array)
