"""Every image kernel with a GPU side on one large frame: the host's result, and how fast.

Frames are drawn with NumPy alone, so that this runs where nothing but torch, Triton, NumPy and
numba is installed. Each kernel is called through its public function, on tensors of the device
and on host arrays; times are those of whole calls on resident inputs, until the device is idle.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

SIDE = 4096
REPEATS = 10

Maps = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Kernel:
    """One kernel under check.

    Parameters
    ----------
    name : str
    call : callable
        From maps to an array, a tuple or a dictionary of arrays.
    maps : tuple of str
        What it reads.
    pixel_bytes : int
        Bytes read and written per pixel by any implementation: the floor.
    rtol : float
        0 where the results must be equal to the bit.
    """

    name: str
    call: Callable[..., Any]
    maps: tuple[str, ...]
    pixel_bytes: int
    rtol: float = 0.0


def kernels() -> tuple[Kernel, ...]:
    """Return the kernels, in the order of a route."""
    from stempede_kernels.distance import distance
    from stempede_kernels.label import label, renumber
    from stempede_kernels.masks import fill_holes
    from stempede_kernels.maxima import label_h_maxima
    from stempede_kernels.pieces import separate, whole_pieces
    from stempede_kernels.regions import regions
    from stempede_kernels.smooth import gaussian
    from stempede_kernels.watershed import watershed

    def mark(inside: Any, mask: Any) -> Any:
        return label_h_maxima(inside, 0.75, mask, h_relative=0.18)

    return (
        Kernel("smooth", lambda image: gaussian(image, 2.0), ("image",), 4 + 4, 5e-6),
        Kernel("masks.fill_holes", fill_holes, ("mask",), 1 + 1),
        Kernel("label", label, ("mask",), 1 + 4),
        Kernel("distance", distance, ("mask",), 1 + 4),
        Kernel("maxima", mark, ("inside", "mask"), 4 + 1 + 4),
        Kernel("watershed", watershed, ("height", "markers", "mask"), 4 + 4 + 1 + 4),
        Kernel("pieces.whole_pieces", whole_pieces, ("labels",), 4 + 4),
        Kernel("pieces.separate", lambda labels: separate(labels, 9), ("labels",), 4 + 4),
        Kernel("label.renumber", renumber, ("labels",), 4 + 4),
        Kernel("regions", regions, ("labels", "image"), 4 + 4, 1e-9),
    )


def frame(side: int = SIDE, seed: int = 7) -> Maps:
    """Draw a frame of discs, as dense as 400 on 2048 x 2048, of which many touch or overlap.

    Returns
    -------
    mapping of str to (side, side) array
        ``mask`` bool, ``image`` float32, and what the kernels on the host make of the mask:
        ``inside``, ``height`` float32, ``markers``, ``labels`` int32.
    """
    from stempede_kernels.distance import distance
    from stempede_kernels.maxima import label_h_maxima
    from stempede_kernels.watershed import watershed

    rng = np.random.default_rng(seed)
    mask = np.zeros((side, side), bool)
    for _ in range(max(3, round(400 * side**2 / 2048**2))):
        cy, cx = rng.uniform(0, side, 2)
        radius = min(rng.uniform(20, 45), side / 4)
        y0, x0 = (max(int(c - radius), 0) for c in (cy, cx))
        y, x = np.ogrid[y0 : int(cy + radius) + 2, x0 : int(cx + radius) + 2]
        part = mask[y0 : y0 + y.size, x0 : x0 + x.size]
        disc = (y - cy) ** 2 + (x - cx) ** 2 < radius**2
        part |= disc[: part.shape[0], : part.shape[1]]
    image = (10 * mask + rng.normal(100, 3, mask.shape)).astype(np.float32)
    inside = distance(mask)
    markers, _ = label_h_maxima(inside, 0.75, mask, h_relative=0.18)
    labels = watershed(-inside, markers, mask)
    return {
        "mask": mask,
        "image": image,
        "inside": inside,
        "height": -inside,
        "markers": markers,
        "labels": labels,
    }


def check(side: int = SIDE, repeats: int = REPEATS, device: str = "cuda") -> dict[str, Any]:
    """Compare every kernel with the host and time it.

    Parameters
    ----------
    side : int
        Rows and columns of the frame.
    repeats : int
        Timed calls after the one that is compared.
    device : str
        A torch device; ``cpu`` runs the host's code twice and compares nothing.

    Returns
    -------
    dict
        ``passed``, ``summary`` and ``kernels``: rows of ``kernel agrees best_s median_s
        floor_s`` and, where a kernel failed, ``reason``.
    """
    import torch

    maps = frame(side)
    there = {name: torch.from_numpy(array).to(device) for name, array in maps.items()}
    rows = []
    for kernel in kernels():
        try:
            rows.append(_row(kernel, maps, there, repeats))
        except Exception as error:  # noqa: BLE001
            # one failing kernel must not lose the others' results on a borrowed machine
            reason = f"{type(error).__name__}: {error}"
            rows.append({"kernel": kernel.name, "agrees": False, "reason": reason})
    if device != "cpu":
        _add_floors(rows, side)
    wrong = [str(row["kernel"]) for row in rows if not row["agrees"]]
    told = f"not as on the host: {', '.join(wrong)}" if wrong else "all as on the host"
    return {"passed": not wrong, "summary": f"{len(rows)} kernels, {told}", "kernels": rows}


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as lines of text: best and median time, and times the floor."""
    lines = []
    for row in rows:
        if "best_s" not in row:
            lines.append(f"     {row['kernel']:<20} {row['reason']}")
            continue
        floor = f"{row['best_s'] / row['floor_s']:.0f} x floor" if "floor_s" in row else ""
        best, median = (f"{1e3 * row[name]:.3f} ms" for name in ("best_s", "median_s"))
        state = "" if row["agrees"] else "DIFFERS"
        lines.append(f"     {row['kernel']:<20} best {best} median {median} {floor} {state}")
    return "\n".join(lines)


def _row(kernel: Kernel, maps: Maps, there: Mapping[str, Any], repeats: int) -> dict[str, Any]:
    """Compare and time one kernel."""
    arguments = [there[name] for name in kernel.maps]
    found = _on_host(kernel.call(*arguments))
    expected = _on_host(kernel.call(*(maps[name] for name in kernel.maps)))
    agrees = all(
        np.allclose(a, b, rtol=kernel.rtol, atol=kernel.rtol, equal_nan=True)
        for a, b in zip(found, expected, strict=True)
    )
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        kernel.call(*arguments)
        _wait()
        seconds.append(time.perf_counter() - start)
    return {
        "kernel": kernel.name,
        "agrees": bool(agrees),
        "best_s": min(seconds),
        "median_s": float(np.median(seconds)),
    }


def _on_host(result: Any) -> list[np.ndarray]:
    """Return a kernel's results as host arrays, in order."""
    if isinstance(result, dict):
        result = tuple(result.values())
    parts = result if isinstance(result, tuple) else (result,)
    return [np.asarray(part.cpu() if hasattr(part, "cpu") else part) for part in parts]


def _wait() -> None:
    """Wait until the device is idle."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _add_floors(rows: list[dict[str, Any]], side: int) -> None:
    """Add the time that the device needs to copy what each kernel must read and write."""
    from stempede_bench.rates import rates

    speed = rates("gpu").copy_bytes_per_s
    for row, kernel in zip(rows, kernels(), strict=True):
        row["floor_s"] = kernel.pixel_bytes * side**2 / speed
