"""Outlines of regions read on a GPU, and the errors' sums over their points (torch)."""

import numpy as np
import torch

from stempede_kernels.superellipse.plan import (
    LEAST_SQUARE,
    LINES,
    N_FREE,
    N_HARMONICS,
    N_SECTORS,
    Floats,
    Ints,
    Outlines,
)

# labels are looked at up to this far around a pixel edge
_RIM = 3


def trace(labels: torch.Tensor, frame: Ints, label: Ints, box: Ints) -> Outlines:
    """Read the outlines of regions from ``labels`` (b, y, x); the points stay on the device."""
    n, device = len(frame), labels.device
    middle = (box[:, :2] + box[:, 2:] - 1) / 2.0
    if n == 0:
        points = torch.zeros((0, 3), dtype=torch.float32, device=device)
        empty = np.zeros((0, 2, N_HARMONICS + 1))
        return Outlines(np.zeros(1, np.int64), points, middle, empty, np.zeros((0, 2)))
    number = _numbers(labels, frame, label)
    place = torch.from_numpy(middle).to(device)
    centroid = _centroids(number, place, n)
    corner = torch.from_numpy(box[:, :2].copy()).to(device)
    side = torch.from_numpy((box[:, 2:] - box[:, :2]).max(axis=1)).to(device)
    step = torch.clamp(side // LINES, min=1)
    parts = [_edges(number, corner, step, across=across) for across in (True, False)]
    region, sign, y, x, arc, direction = (torch.cat(column) for column in zip(*parts, strict=True))
    width = 2 * (labels.shape[2] + 2)
    key = ((y.floor() + 1) * width + 2 * (x.floor() + 1) + direction).to(torch.int64)
    by_key = torch.argsort(key, stable=True)
    order = by_key[torch.argsort(region[by_key], stable=True)]
    region, sign, y, x, arc, direction = (
        column[order] for column in (region, sign, y, x, arc, direction)
    )
    y, x = y - place[region, 0], x - place[region, 1]
    length = step[region].double()
    points = torch.stack([y, x, length * arc], dim=1).float()
    dy, dx = (points[:, a].double() - centroid[region, a] for a in (0, 1))
    normal = length * sign
    harmonics = _harmonics(dy, dx, normal * direction, normal * (1 - direction), region, n)
    begin = np.zeros(n + 1, np.int64)
    np.cumsum(torch.bincount(region, minlength=n).cpu().numpy(), out=begin[1:])
    return Outlines(begin, points, middle, harmonics.cpu().numpy(), centroid.cpu().numpy())


def _numbers(labels: torch.Tensor, frame: Ints, label: Ints) -> torch.Tensor:
    """Return (b, y + 6, x + 6) int64: the number of each pixel's region, -1 elsewhere."""
    device = labels.device
    highest = int(max(int(labels.max()), int(label.max())))
    table = torch.full((len(labels), highest + 1), -1, dtype=torch.int64, device=device)
    rows, own = torch.from_numpy(frame).to(device), torch.from_numpy(label).to(device)
    table[rows, own] = torch.arange(len(frame), device=device)
    flat = labels.reshape(len(labels), -1).clamp(min=0).long()
    number = torch.gather(table, 1, flat).reshape(labels.shape)
    return torch.nn.functional.pad(number, (_RIM,) * 4, value=-1)


def _centroids(number: torch.Tensor, middle: torch.Tensor, n: int) -> torch.Tensor:
    """Return (n, 2) float64 the mean of each region's pixels from the middle of its box."""
    _, y, x = torch.nonzero(number >= 0, as_tuple=True)
    region = number[number >= 0]
    at = torch.stack([y - _RIM, x - _RIM], dim=1).double() - middle[region]
    total = torch.zeros((n, 2), dtype=torch.float64, device=number.device)
    total.index_add_(0, region, at)
    count = torch.bincount(region, minlength=n).clamp(min=1)
    return total / count[:, None]


def _edges(
    number: torch.Tensor, corner: torch.Tensor, step: torch.Tensor, *, across: bool
) -> tuple[torch.Tensor, ...]:
    """Return region, sign, y, x, arc and direction of pixel edges between two regions.

    The sign is 1 where the region lies before the edge; the direction 0 for edges that a row
    crosses, 1 for those that a column crosses.
    """
    axis = 2 if across else 1
    before, after = (number.narrow(axis, k, number.shape[axis] - 1) for k in (0, 1))
    found = torch.nonzero(before != after)
    parts = []
    for here, sign in ((before, 1.0), (after, -1.0)):
        region = here[tuple(found.T)]
        line = found[:, 1 if across else 2] - _RIM - corner[region.clamp(min=0), 0 if across else 1]
        each = step[region.clamp(min=0)]
        kept = (region >= 0) & (torch.remainder(line, each) == each // 2)
        at, own = found[kept], region[kept]
        y, x = (at[:, k].double() - _RIM for k in (1, 2))
        half_y, half_x = (0.0, 0.5) if across else (0.5, 0.0)
        constant = torch.ones_like(y)
        arc = _arc(number, at, own, across=across)
        parts.append((own, sign * constant, y + half_y, x + half_x, arc, constant * (not across)))
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


def _arc(
    number: torch.Tensor, at: torch.Tensor, own: torch.Tensor, *, across: bool
) -> torch.Tensor:
    """Return the cosine between an edge's normal and that of the outline, from 5 x 4 pixels."""
    along = torch.zeros(len(at), dtype=torch.int64, device=number.device)
    aside = torch.zeros_like(along)
    frame, row, column = at.T
    for a in range(-1, 3):
        for b in range(-2, 3):
            y, x = (row + b, column + a) if across else (row + a, column + b)
            y, x = y.clamp(0, number.shape[1] - 1), x.clamp(0, number.shape[2] - 1)
            inside = (number[frame, y, x] == own).long()
            along += inside if a > 0 else -inside
            aside += inside * ((b > 0) - (b < 0))
    norm = torch.hypot(along.double(), aside.double())
    return torch.where(norm > 0, along.abs() / norm.clamp(min=1e-30), 1.0)


def _harmonics(
    dy: torch.Tensor,
    dx: torch.Tensor,
    ny: torch.Tensor,
    nx: torch.Tensor,
    region: torch.Tensor,
    n: int,
) -> torch.Tensor:
    """Return (n, 2, N_HARMONICS + 1) Fourier coefficients of the log distance."""
    square = dy * dy + dx * dx
    safe = torch.where(square > 0, square, 1.0)
    seen = 0.5 * safe.log() * (ny * dy + nx * dx) / safe / (2 * np.pi)
    seen = torch.where(square > 0, seen, 0.0)
    turns = torch.atan2(dy, dx)[:, None] * torch.arange(N_HARMONICS + 1, device=dy.device)
    waves = torch.stack([turns.cos(), -turns.sin()], dim=1) * seen[:, None, None]
    total = torch.zeros((n, 2, N_HARMONICS + 1), dtype=torch.float64, device=dy.device)
    return total.index_add_(0, region, waves)


def information(
    outlines: Outlines, region: Ints, order: Ints, theta: Floats
) -> tuple[Floats, Floats]:
    """Return the normal matrix (n, 6, 6) and the gradient's sums by sector (n, 24, 6)."""
    n, device = len(region), outlines.points.device
    lengths = outlines.begin[region + 1] - outlines.begin[region]
    owner = np.repeat(np.arange(n), lengths)
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]]) if n else np.zeros(0, np.int64)
    place = np.arange(len(owner)) + (outlines.begin[region] - first)[owner]
    own = torch.from_numpy(owner).to(device)
    points = outlines.points[torch.from_numpy(place).to(device)].double()
    parameters = torch.from_numpy(np.ascontiguousarray(theta)).to(device)[own]
    d = torch.from_numpy(order.astype(np.float64)).to(device)[own]
    misfit, rows = _misfits(points, parameters, d)
    weighted = rows * points[:, 2:]
    matrix = torch.zeros((n, N_FREE, N_FREE), dtype=torch.float64, device=device)
    matrix.index_add_(0, own, weighted[:, :, None] * rows[:, None])
    angle = torch.atan2(points[:, 0] - parameters[:, 0], points[:, 1] - parameters[:, 1])
    sector = ((angle / (2 * np.pi) + 0.5) * N_SECTORS).long() % N_SECTORS
    scores = torch.zeros((n * N_SECTORS, N_FREE), dtype=torch.float64, device=device)
    scores.index_add_(0, own * N_SECTORS + sector, weighted * misfit[:, None])
    by_sector = scores.reshape(n, N_SECTORS, N_FREE).cpu().numpy()
    return matrix.cpu().numpy(), by_sector


def _misfits(
    points: torch.Tensor, theta: torch.Tensor, d: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return distances (m,) and derivatives (m, 6), each point with its own shape."""
    dy, dx = points[:, 0] - theta[:, 0], points[:, 1] - theta[:, 1]
    square = torch.clamp(dy * dy + dx * dx, min=1e-6)
    turned = d * (torch.atan2(dy, dx) - theta[:, 3])
    p = theta[:, 4].exp()
    c2 = torch.clamp(0.5 * (1 + turned.cos()), min=LEAST_SQUARE)
    s2 = torch.clamp(0.5 * (1 - turned.cos()), min=LEAST_SQUARE)
    log_c, log_s = 0.5 * c2.log() + theta[:, 5], 0.5 * s2.log()
    mean = torch.logaddexp(p * log_c, p * log_s) / p
    share = (p * (log_c - mean)).exp()
    slope = 0.25 * d * turned.sin() * (share / c2 - (1 - share) / s2)
    scale = torch.sqrt(square / (1 + slope * slope))
    rows = [
        (-dy + slope * dx) / square,
        (-dx - slope * dy) / square,
        -torch.ones_like(dy),
        slope,
        -(mean - share * log_c - (1 - share) * log_s),
        share,
    ]
    misfit = scale * (0.5 * square.log() - theta[:, 2] + mean)
    return misfit, scale[:, None] * torch.stack(rows, dim=1)
