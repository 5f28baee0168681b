"""Least squares of an upright Gaussian on a whole window: sums of products are products of sums.

With equal weights and ``g(y, x) = a(y) b(x)``, ``Σ g² dyⁱ dxʲ = Σ a² dyⁱ · Σ b² dxʲ``: only sums
that hold the residual visit every pixel (numba).
"""

from stempede_kernels.gaussian_fit.moments import Moments
from stempede_kernels.gaussian_fit.window import Box, Floats, Scratch, fused


@fused
def pulls(theta: Floats, box: Box, s: Scratch, m: Moments) -> float:
    """Fill the sums that hold the residual; return the sum of its squares."""
    amplitude, offset = theta[2], theta[6]
    corner_y, corner_x = box.y - theta[0], box.x - theta[1]
    total = q00 = p00 = p01 = p10 = p02 = p11 = p20 = 0.0
    for k in range(box.height * box.stride):
        g = s.bell[k]
        r = s.seen[k] * (s.data[k] - s.base[k] - offset - amplitude * g)
        dy, dx = corner_y + s.row[k], corner_x + s.column[k]
        p = r * g
        px, py = p * dx, p * dy
        total += r * r
        q00 += r
        p00 += p
        p01 += px
        p10 += py
        p02 += px * dx
        p11 += px * dy
        p20 += py * dy
    m.pull_zero[0, 0] = q00
    m.pull_one[0, 0], m.pull_one[0, 1], m.pull_one[0, 2] = p00, p01, p02
    m.pull_one[1, 0], m.pull_one[1, 1], m.pull_one[2, 0] = p10, p11, p20
    return total


@fused
def products(theta: Floats, box: Box, s: Scratch, m: Moments) -> None:
    """Fill the sums without the residual from the lines that were drawn last."""
    y0, y1, y2, y3, y4, u0, u1, u2 = _line(box.y - theta[0], box.height, s.along_y)
    x0, x1, x2, x3, x4, v0, v1, v2 = _line(box.x - theta[1], box.width, s.along_x)
    two, one = m.two, m.one
    two[0, 0], two[0, 1], two[0, 2], two[0, 3], two[0, 4] = (
        y0 * x0,
        y0 * x1,
        y0 * x2,
        y0 * x3,
        y0 * x4,
    )
    two[1, 0], two[1, 1], two[1, 2], two[1, 3] = y1 * x0, y1 * x1, y1 * x2, y1 * x3
    two[2, 0], two[2, 1], two[2, 2] = y2 * x0, y2 * x1, y2 * x2
    two[3, 0], two[3, 1], two[4, 0] = y3 * x0, y3 * x1, y4 * x0
    one[0, 0], one[0, 1], one[0, 2] = u0 * v0, u0 * v1, u0 * v2
    one[1, 0], one[1, 1], one[2, 0] = u1 * v0, u1 * v1, u2 * v0
    m.zero[0, 0] = box.height * box.width


@fused
def _line(
    corner: float, n: int, line: Floats
) -> tuple[float, float, float, float, float, float, float, float]:
    """Sum a line's squares times powers 0 … 4 of the distance, and the line times 0 … 2."""
    a0 = a1 = a2 = a3 = a4 = b0 = b1 = b2 = 0.0
    for k in range(n):
        d, g = corner + k, line[k]
        b, bd = g, g * d
        a, ad = g * g, g * bd
        b0 += b
        b1 += bd
        b2 += bd * d
        a0 += a
        a1 += ad
        a2 += bd * bd
        a3 += bd * bd * d
        a4 += bd * bd * d * d
    return a0, a1, a2, a3, a4, b0, b1, b2
