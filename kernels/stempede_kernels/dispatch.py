"""Tell array libraries apart and pick the side, CPU or GPU, that a kernel runs on."""

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Literal

import numpy as np

from stempede_kernels import interop

Kind = Literal["numpy", "torch", "cupy"]


def kind_of(array: object) -> Kind:
    """Name the library an array belongs to, without importing any.

    Raises
    ------
    TypeError
        If the array is none of NumPy, torch and CuPy.
    """
    for base in type(array).__mro__:
        root = base.__module__.partition(".")[0]
        if root == "numpy" and isinstance(array, np.ndarray):
            return "numpy"
        if root == "torch" and base.__name__ == "Tensor":
            return "torch"
        if root == "cupy" and base.__name__ == "ndarray":
            return "cupy"
    raise TypeError(
        f"a NumPy, torch or CuPy array was expected, found {type(array).__name__}; "
        "convert it, for example with numpy.asarray"
    )


def on_gpu(array: Any) -> bool:
    """Say whether the array lies in GPU memory."""
    kind = kind_of(array)
    return kind == "cupy" or (kind == "torch" and array.device.type != "cpu")


def implementation(package: str, array: Any) -> ModuleType:
    """Import the module of a kernel folder that serves an array: ``cpu`` or ``gpu``.

    Parameters
    ----------
    package : str
        Dotted name of the kernel folder, ``__name__`` in its ``__init__.py``.
    array : ndarray or tensor
        The array whose place decides.

    Raises
    ------
    TypeError
        If the array lies on a GPU and the kernel has no GPU version.
    """
    if not on_gpu(array):
        return importlib.import_module(f"{package}.cpu")
    if importlib.util.find_spec(f"{package}.gpu") is None:
        raise TypeError(_host_only(package.rpartition(".")[2], array))
    return importlib.import_module(f"{package}.gpu")


def function_for(package: str, name: str, array: Any) -> Callable[..., Any]:
    """Return the function of a kernel folder that serves an array.

    Raises
    ------
    TypeError
        If the array lies on a GPU and the function has no GPU version.
    """
    module = implementation(package, array)
    function: Callable[..., Any] | None = getattr(module, name, None)
    if function is None:
        raise TypeError(_host_only(name, array))
    return function


def _host_only(name: str, array: Any) -> str:
    return (
        f"'{name}' runs on host arrays only, found a {kind_of(array)} array on a GPU; "
        "copy it to the host first (Backend.through_host does and counts the bytes)"
    )


def run_on_frames(
    package: str,
    function: str,
    maps: Mapping[str, tuple[Any, str]],
    **parameters: Any,
) -> Any:
    """Run one kernel over maps of one frame or of a batch of frames.

    Parameters
    ----------
    package : str
        Dotted name of the kernel folder.
    function : str
        Name of the function in its ``cpu`` and ``gpu`` modules. It is called with one
        contiguous ``(b, y, x)`` array per map, in the order of `maps`, and `parameters`.
    maps : mapping of str to (array, str)
        Arrays ``(y, x)`` or ``(b, y, x)`` of one shape, one library and one device, each
        with the dtype the kernel wants. Only safe conversions are made: anything real to
        float32, any integer to int32, nothing but bool to bool.

    Returns
    -------
    array or tuple of arrays
        In the library of the input; without the batch axis where the input had none.

    Raises
    ------
    TypeError, ValueError
        If libraries, devices, shapes or dtypes do not fit; the message names the map.
    """
    _check(maps)
    first = next(iter(maps.values()))[0]
    compute = function_for(package, function, first)
    single = first.ndim == 2
    arrays = [_prepare(array, dtype) for array, dtype in maps.values()]
    results = compute(*arrays, **parameters)
    kind = kind_of(first)
    if not isinstance(results, tuple):
        return _finish(results, kind, single=single)
    return tuple(_finish(result, kind, single=single) for result in results)


def _check(maps: Mapping[str, tuple[Any, str]]) -> None:
    """Compare every map with the first, then with the dtype it is wanted in."""
    first_name, (first, _) = next(iter(maps.items()))
    for name, (array, dtype) in maps.items():
        kind = kind_of(array)
        if array.ndim not in (2, 3):
            raise ValueError(f"{name} must be (y, x) or (b, y, x), found {array.ndim} axes")
        if kind != kind_of(first) or _device(array) != _device(first):
            raise TypeError(
                f"{name} is a {kind} array on {_device(array)} and {first_name} a "
                f"{kind_of(first)} array on {_device(first)}; put both in one place"
            )
        if 0 in tuple(array.shape)[-2:]:
            raise ValueError(f"{name} has frames of {tuple(array.shape)[-2:]}; they hold no pixel")
        if tuple(array.shape) != tuple(first.shape):
            raise ValueError(
                f"{name} has shape {tuple(array.shape)} and {first_name} "
                f"{tuple(first.shape)}; they must be equal"
            )
        _check_dtype(name, array, dtype)


def _check_dtype(name: str, array: Any, wanted: str) -> None:
    """Refuse a conversion that could lose meaning."""
    found = str(array.dtype).rpartition(".")[2]
    allowed = {"bool": ("bool",), "int32": ("int", "uint"), "float32": ("int", "uint", "float")}
    if not found.startswith(allowed[wanted]):
        hint = "compare it first, as in mask > 0" if wanted == "bool" else "convert it first"
        raise TypeError(f"{name} must be {wanted}, found {found}; {hint}")


def _device(array: Any) -> str:
    """Name the place of an array, equal for arrays that share it."""
    kind = kind_of(array)
    if kind == "numpy":
        return "the host"
    return str(array.device)


def _prepare(array: Any, dtype: str) -> Any:
    """Return a contiguous ``(b, y, x)`` view or copy in what the kernel speaks."""
    if on_gpu(array):
        tensor = interop.as_torch(array)
        tensor = tensor.to(getattr(interop.torch(), dtype)).contiguous()
        return tensor if tensor.ndim == 3 else tensor[None]
    host = np.ascontiguousarray(interop.as_numpy(array), dtype=dtype)
    return host if host.ndim == 3 else host[None]


def _finish(result: Any, kind: Kind, *, single: bool) -> Any:
    """Return a kernel's result in the library and with the axes of its input."""
    result = result[0] if single else result
    if kind == "torch":
        return interop.as_torch(np.asarray(result)) if not _is_torch(result) else result
    if kind == "cupy":
        return interop.as_cupy(result)
    return result


def _is_torch(array: Any) -> bool:
    return type(array).__module__.partition(".")[0] == "torch"


def check_connectivity(connectivity: int) -> None:
    """Refuse anything but 1 (edges) and 2 (edges and corners)."""
    if connectivity not in (1, 2):
        raise ValueError(f"connectivity must be 1 or 2, found {connectivity!r}")
