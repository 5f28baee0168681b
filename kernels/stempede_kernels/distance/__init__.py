"""Exact Euclidean distance to the nearest background pixel, per frame."""

from typing import Any

from stempede_kernels.dispatch import run_on_frames

__all__ = ["distance"]


def distance(mask: Any) -> Any:
    """Measure the distance of every foreground pixel to the nearest background pixel.

    Same meaning as ``scipy.ndimage.distance_transform_edt``: distances run between pixel
    centres and the border of the frame is not background. Exact, not a chamfer
    approximation; the square root is rounded once, to float32.

    Parameters
    ----------
    mask : (b, y, x) or (y, x) bool array
        Foreground. NumPy, torch or CuPy; the result stays where the mask lies.

    Returns
    -------
    (b, y, x) or (y, x) float32 array
        Distance in px; 0 on the background, inf everywhere in a frame without background.

    Raises
    ------
    TypeError
        If the mask is not bool.
    ValueError
        If the mask has neither two nor three axes, or a side above 23,000 px on a GPU.

    References
    ----------
    Meijster, Roerdink and Hesselink, "A general algorithm for computing distance transforms
    in linear time" (2000); Felzenszwalb and Huttenlocher, "Distance transforms of sampled
    functions", Theory of Computing 8 (2012).

    Examples
    --------
    >>> distance(np.array([[False, True, True, True]]))
    array([[0., 1., 2., 3.]], dtype=float32)
    """
    return run_on_frames(__name__, "distance", {"mask": (mask, "bool")})
