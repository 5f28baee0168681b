"""Frames of superellipses at known places, drawn without the kernels, and the route over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from stempede.backend import Backend
from stempede.frames import Batch, Calibration, FrameRecord, Frames
from stempede.pipeline import Pipeline
from stempede.recipe import Recipe
from stempede.simulate.superellipse import radius

SIDE_PX = 1000


@dataclass(frozen=True)
class Shapes:
    """Truth: (n,) float64 arrays; places and radii in px, angles in rad."""

    y: np.ndarray
    x: np.ndarray
    radius: np.ndarray
    angle: np.ndarray
    p: np.ndarray
    d: np.ndarray
    l_ratio: np.ndarray

    def rows(self) -> np.ndarray:
        """Return (n, 7) as the kernel orders them."""
        return np.stack(
            [self.y, self.x, self.radius, self.angle, self.p, self.d, self.l_ratio], axis=1
        )


def draw(rng: np.random.Generator, extent_px: float) -> Shapes:
    """Draw shapes on a grid with room around each; the longer side of the box is the extent."""
    pitch = 1.5 * extent_px + 12
    n_side = int(SIDE_PX // pitch)
    n = n_side**2
    d = rng.integers(1, 7, n).astype(float)
    p = np.exp(rng.uniform(np.log(0.3), np.log(20), n))
    l_ratio = np.exp(rng.uniform(0, np.log(5), n))
    angle = rng.uniform(0, 2 * np.pi, n)
    u = np.arange(720) * (np.pi / 360)
    outline = radius(u[None], p[:, None], d[:, None], l_ratio[:, None])
    y, x = outline * np.sin(u + angle[:, None]), outline * np.cos(u + angle[:, None])
    size = extent_px / np.maximum(np.ptp(y, axis=1), np.ptp(x, axis=1))
    place = (np.stack(np.divmod(np.arange(n), n_side)) + 0.5) * pitch + rng.uniform(-2, 2, (2, n))
    middle = [(a.max(axis=1) + a.min(axis=1)) / 2 * size for a in (y, x)]
    return Shapes(place[0] - middle[0], place[1] - middle[1], size, angle, p, d, l_ratio)


def cover(shapes: Shapes, samples: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return the covered share of each pixel, and labels 1 … n where it is half or more."""
    share = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    labels = np.zeros((SIDE_PX, SIDE_PX), np.int32)
    for k, (y, x, r, angle, p, d, l_ratio) in enumerate(shapes.rows()):
        u = np.arange(720) * (np.pi / 360)
        reach = r * radius(u, p, d, l_ratio)
        top, left = (reach * np.sin(u + angle)).min() + y, (reach * np.cos(u + angle)).min() + x
        low, high = (reach * np.sin(u + angle)).max() + y, (reach * np.cos(u + angle)).max() + x
        y0, x0, y1, x1 = int(top) - 1, int(left) - 1, int(low) + 3, int(high) + 3
        dy = (np.arange((y1 - y0) * samples) + 0.5) / samples - 0.5 + y0 - y
        dx = (np.arange((x1 - x0) * samples) + 0.5) / samples - 0.5 + x0 - x
        rho, theta = np.hypot(dy[:, None], dx[None]), np.arctan2(dy[:, None], dx[None]) - angle
        inside = rho <= r * radius(theta, p, d, l_ratio)
        part = inside.reshape(y1 - y0, samples, x1 - x0, samples).mean(axis=(1, 3))
        share[y0:y1, x0:x1] = np.maximum(share[y0:y1, x0:x1], part)
        labels[y0:y1, x0:x1][part >= 0.5] = k + 1
    return share, labels


def expose(
    share: np.ndarray,
    rng: np.random.Generator,
    *,
    blur_px: float,
    electrons: float,
    contrast: float,
) -> np.ndarray:
    """Return counts: dark particles with darker rims on a sloping support, blurred, Poisson."""
    depth = ndimage.distance_transform_edt(share > 0.5)
    body = share * (0.9 + 0.2 * np.exp(-((depth / 2.5) ** 2)))
    slope = 1 + 0.15 * np.linspace(-0.5, 0.5, share.shape[1])[None]
    image = (1 - contrast * body) * slope
    return rng.poisson(electrons * ndimage.gaussian_filter(image, blur_px)).astype(np.uint16)


@dataclass(frozen=True)
class InMemory:
    """Reads frames from an array."""

    images: np.ndarray

    def __call__(self, record: FrameRecord) -> np.ndarray:
        return self.images[record.frame]


def through_the_route(images: np.ndarray) -> list[Batch]:
    """Run the shipped recipe's stages on (n, y, x) frames; one batch per frame."""
    records = tuple(
        FrameRecord(k, f"/drawn/{k}.tif", 0, image.shape, "uint16", Calibration(0.5, 0.5, "set"))
        for k, image in enumerate(images)
    )
    return measured(Frames(records, InMemory(images)), len(images))


def measured(frames: Frames, most: int) -> list[Batch]:
    """Run the shipped recipe's stages on the first frames that can be read, one by one."""
    backend, plan = Backend.choose("cpu"), Recipe.load("particles")
    pipeline, prepared, found = Pipeline.from_specs(plan.specs("stage")), {}, []
    numbers = [record.frame for record in frames.readable[:most]]
    for prepare in plan.of_kind("prepare"):
        batches = [frames.read([k], backend) for k in numbers[:4]]
        prepared[prepare.name] = prepare(batches)
    for k in numbers:
        batch = frames.read([k], backend)
        batch = type(batch)(**{**vars(batch), "prepared": prepared})
        for stage in pipeline.stages:
            batch = stage(batch)
        found.append(batch)
    return found
