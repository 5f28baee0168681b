"""The card of a network: what stands beside its weights."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from stempede import __version__

_DIGITS = 6


def shape_card(script: bytes, **facts: Any) -> dict[str, Any]:
    """Return the card of a shape network.

    Parameters
    ----------
    script : bytes
        The weights' file.
    **facts
        ``batch training held_out`` and more, put in as they are.
    """
    said = {
        "name": "shape",
        "input_shape": [44, 44],
        "input": "accepted particles cut by stempede.particles.crops(batch, 44): particle bright, "
        "box and 15 % on each side, everything foreign painted over",
        "normalisation": "inside the network: a plane fitted to the outermost two pixels is taken "
        "off, the particle's own brightness is 1",
        "outputs": {
            "p d l_ratio": "most probable shape; d is a mean and a real number",
            "se_log_p se_d se_log_l": "root mean square error expected of them",
            "d_weight": "probability of d = 1 ... 6",
            "weight start_p start_l": "components: d = 1 ... 6, p below and above 2 in turn",
        },
    }
    return _card("shape", script, {**said, **facts})


def unet_card(script: bytes, **facts: Any) -> dict[str, Any]:
    """Return the card of a U-Net that finds particles.

    Parameters
    ----------
    script : bytes
        The weights' file.
    **facts
        ``name batch particle_px training held_out`` and more, put in as they are.
    """
    said = {
        "input_shape": [0, 0],
        "input": "frames flattened and turned so that particles are bright, resampled so that "
        "they are about particle_px across",
        "normalisation": "stempede.inference.standardised: less the median, over the standard "
        "deviation about it",
        "outputs": {
            "probability": "of each pixel to lie in a particle",
            "distance": "to the outline of its particle, px",
        },
    }
    return _card("unet", script, {**said, **facts})


def denoise_card(script: bytes, **facts: Any) -> dict[str, Any]:
    """Return the card of a network that denoises lattices.

    Parameters
    ----------
    script : bytes
        The weights' file.
    **facts
        ``batch training held_out`` and more, put in as they are.
    """
    said = {
        "name": "denoise",
        "input_shape": [0, 0],
        "input": "frames in electrons, pixels summed where columns are wide",
        "normalisation": "stempede_kernels.anscombe.stabilise, less the frame's mean, over its "
        "standard deviation",
        "outputs": {
            "denoised": "mean of what the input is one draw of, in its units",
            "guess(images, keep)": "the same where keep is 0, from the pixels where it is 1",
        },
    }
    return _card("denoise", script, {**said, **facts})


def _card(kind: str, script: bytes, facts: dict[str, Any]) -> dict[str, Any]:
    """Return facts with what every card says."""
    return {
        "kind": kind,
        "sha256": hashlib.sha256(script).hexdigest(),
        "pixel_scale_nm": None,
        **facts,
        "versions": {
            "stempede": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "torch": metadata.version("torch"),
        },
    }


def write(card: dict[str, Any], path: Path) -> None:
    """Write a card, numbers cut to six digits."""
    waiting = path.with_suffix(".part.json")
    waiting.write_text(json.dumps(_short(card), indent=1) + "\n", "utf-8")
    waiting.replace(path)


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _short(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_short(v) for v in value]
    if isinstance(value, float | np.floating):
        return None if not np.isfinite(value) else float(f"{value:.{_DIGITS}g}")
    return value.item() if isinstance(value, np.generic) else value
