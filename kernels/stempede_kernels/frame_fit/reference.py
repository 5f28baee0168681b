"""The same sums in plain NumPy, float64, pixel by pixel from the equations of the README."""

import numpy as np


def draw(gaussians, centres, radius, forms, shape):
    """Return (k, h, w) sums of profiles times forms."""
    images = np.zeros((forms.shape[1], *shape))
    for gaussian, centre, form in zip(gaussians, centres, forms, strict=True):
        value, by_y, by_x = _profile(gaussian, shape)
        value = value * _disc(centre, radius, shape)
        powers = np.stack([np.ones(shape), by_y, by_x, by_y**2, by_y * by_x, by_x**2])
        images += value * np.einsum("kf,fyx->kyx", form, powers)
    return images


def gather(images, gaussians, centres, radius, active):
    """Return (n, k, 3) sums of images times profile and slopes."""
    return row_sums_of(images, gaussians, centres, radius, active).sum(axis=2)


def row_sums_of(images, gaussians, centres, radius, active):
    """Return (n, k, h, 3) sums over the rows of images times profile and slopes."""
    shape = images.shape[1:]
    sums = np.zeros((len(gaussians), len(images), shape[0], 3))
    for n in np.flatnonzero(active):
        slopes = _slopes(gaussians[n], shape) * _disc(centres[n], radius, shape)
        sums[n] = np.einsum("kyx,pyx->kyp", images, slopes)
    return sums


def row_sums(image, gaussians, centres, radius, active):
    """Return (n, r, 3) sums over each row of an image times profile and slopes."""
    half = int(radius)
    whole = row_sums_of(image[None], gaussians, centres, radius, active)[:, 0]
    sums = np.zeros((len(gaussians), 2 * half + 1, 3))
    for n, (middle, _) in enumerate(centres):
        for k in range(2 * half + 1):
            if 0 <= middle - half + k < len(image):
                sums[n, k] = whole[n, middle - half + k]
    return sums


def under_columns(image, gaussians, centres, radius, active, *, spacing):
    """Return (n, 2) first nodes and (n, r, c, 3) sums of ``gather`` times each node's weight."""
    nodes, weights = _corners(image.shape, spacing)
    across = int(2 * radius / spacing) + 3
    first = np.maximum(np.floor((centres - radius) / spacing), 0).astype(int)
    sums = np.zeros((len(gaussians), across, across, 3))
    for n in np.flatnonzero(active):
        disc = _disc(centres[n], radius, image.shape)
        slopes = image * _slopes(gaussians[n], image.shape)
        for corner in range(4):
            down, right = nodes[0, corner][disc] - first[n, 0], nodes[1, corner][disc] - first[n, 1]
            parts = (slopes * weights[corner])[:, disc].T
            np.add.at(sums[n], (down, right), parts)
    return first, sums


def squares(weight, gaussians, centres, radius, active):
    """Return (n, 3, 3) sums of weight times squared profile times slopes."""
    sums = np.zeros((len(gaussians), 3, 3))
    for n in np.flatnonzero(active):
        slopes = _slopes(gaussians[n], weight.shape) * _disc(centres[n], radius, weight.shape)
        sums[n] = np.einsum("yx,pyx,qyx->pq", weight, slopes, slopes)
    return sums


def products(weight, gaussians, anchors, radius, pairs):
    """Return (c, 3, 3) sums of weight times both profiles of a pair times their slopes."""
    sums = np.zeros((len(pairs), 3, 3))
    for c, (a, b) in enumerate(pairs):
        both = _disc(anchors[a], radius, weight.shape) & _disc(anchors[b], radius, weight.shape)
        one, two = _slopes(gaussians[a], weight.shape), _slopes(gaussians[b], weight.shape)
        sums[c] = np.einsum("yx,pyx,qyx->pq", weight * both, one, two)
    return sums


def entries(used, gaussians, centres, radius):
    """Return (n + 1,) starts, (e,) flat pixels and (e,) profiles of each column's used pixels."""
    pixels, values = [np.zeros(0, np.int64)], [np.zeros(0)]
    for gaussian, centre in zip(gaussians, centres, strict=True):
        there = np.flatnonzero(used & _disc(centre, radius, used.shape))
        pixels.append(there)
        values.append(_profile(gaussian, used.shape)[0].ravel()[there])
    start = np.cumsum([len(part) for part in pixels])
    return start, np.concatenate(pixels), np.concatenate(values)


def mark(valid, anchors, radius, active):
    """Return (h, w) which valid pixels lie within a radius of columns."""
    used = np.zeros(valid.shape, bool)
    for anchor in anchors[active]:
        used |= valid & _disc(anchor, radius, valid.shape)
    return used


def place_gains(pixels, observed, without, places, light, sigma, *, noise):
    """Return (k, s, g) log-likelihoods gained by columns at places."""
    away = pixels[:, None] - places[:, :, None]
    square = (away**2).sum(axis=3) / sigma[:, None, None] ** 2
    profile = np.exp(-0.5 * square) / (2 * np.pi * sigma[:, None, None] ** 2)
    without, observed = without[:, None, None], observed[:, None, None]
    mean = without + light[:, :, None, None] * profile[:, None]
    if noise[0]:
        electrons = np.where(observed > 0.02, observed, 0)
        gain = electrons * np.log(mean / without) - (mean - without)
    else:
        before, after = (noise[1] + noise[2] * np.maximum(m, 0) for m in (without, mean))
        gain = (observed - without) ** 2 / before - (observed - mean) ** 2 / after
        gain = 0.5 * (gain - np.log(after / before))
    return np.where(np.isfinite(observed), gain, 0).sum(axis=3)


def surface(levels, spacing, shape):
    """Return (h, w) values between nodes."""
    nodes, weights = _corners(shape, spacing)
    return np.einsum("cyx,cyx->yx", levels[nodes[0], nodes[1]], weights)


def corner_sums(images, spacing):
    """Return (k, r, c, 2, 2) sums of images times the weights of each cell's corners."""
    (rows, columns), weights = _corners(images.shape[1:], spacing)
    grid = [int(size / spacing) + 1 for size in images.shape[1:]]
    sums = np.zeros((len(images), *grid, 4))
    for k, image in enumerate(images):
        for corner in range(4):
            np.add.at(sums[k, :, :, corner], (rows[0], columns[0]), image * weights[corner])
    return sums.reshape(*sums.shape[:3], 2, 2)


def corner_products(weight, spacing):
    """Return (r, c, 4, 4) sums of a weight times products of corners' weights."""
    (rows, columns), weights = _corners(weight.shape, spacing)
    sums = np.zeros((*(int(size / spacing) + 1 for size in weight.shape), 4, 4))
    for p in range(4):
        for q in range(4):
            part = weight * weights[p] * weights[q]
            np.add.at(sums[:, :, p, q], (rows[0], columns[0]), part)
    return sums


def _profile(gaussian, shape):
    """Return a profile of unit integral and its logarithmic slopes by y and x, (h, w) each."""
    y, x, pyy, pyx, pxx = gaussian
    dy, dx = np.arange(shape[0])[:, None] - y, np.arange(shape[1]) - x
    by_y, by_x = pyy * dy + pyx * dx, pyx * dy + pxx * dx
    norm = np.sqrt(pyy * pxx - pyx**2) / (2 * np.pi)
    return norm * np.exp(-0.5 * (by_y * dy + by_x * dx)), by_y, by_x


def _slopes(gaussian, shape):
    """Return (3, h, w) profile times slope by y, slope by x, and 1."""
    value, by_y, by_x = _profile(gaussian, shape)
    return np.stack([value * by_y, value * by_x, value])


def _disc(centre, radius, shape):
    y, x = np.indices(shape)
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def _corners(shape, spacing):
    """Return (2, 4, h, w) rows and columns of the nodes around pixels, and their weights."""
    y, x = np.indices(shape) / spacing
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    dy, dx = y - top, x - left
    nodes = np.stack(
        [np.stack([top, top, top + 1, top + 1]), np.stack([left, left + 1, left, left + 1])]
    )
    return nodes, np.stack([(1 - dy) * (1 - dx), (1 - dy) * dx, dy * (1 - dx), dy * dx])
