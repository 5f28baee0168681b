"""The shape network: a crop in, the superellipse's p, d, L and how sure it is of each out.

The crop is brought into polar form about the particle's own centroid, in units of its own size:
turning the particle turns into a shift along the angles, and everything after is a convolution
around the circle and a pooling over it. What comes out does not depend on the orientation by
construction, up to resampling.

A circle fits every ``d``, a square is ``d = 2`` with large ``p`` or turned with ``p = 1``: the
answer is a mixture. Twelve components, ``d`` of 1 to 6 times ``p`` below or above 2, each with a
weight and a Gaussian in log p and log L.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

SIZE = 44
N_D = 6
N_COMPONENTS = 2 * N_D
LOG_P = (math.log(0.3), math.log(2.0), math.log(20.0))
LOG_L = (0.0, math.log(5.0))
RADII, ANGLES = 24, 72

_REACH = 2.6
_RING = 2
# harmonics around the circle: up to the twelve lobes of d = 6, L = 1, and one more
_HARMONICS = 14
_SOFT_LOW, _SOFT_GAIN = 0.3, 2.5


class PolarView(nn.Module):
    """Normalise crops and resample them around their centroid; no learnt parameters.

    Normalisation: a plane fitted to the outermost two pixels is taken off, and the crop divided
    by its particle's own brightness, so that support is 0 and body 1.
    """

    plane: Tensor
    basis: Tensor
    ring: Tensor
    rays: Tensor
    axis: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.side, self.soft_low, self.soft_gain = SIZE, _SOFT_LOW, _SOFT_GAIN
        at = np.arange(SIZE)
        outer = (at < _RING) | (at >= SIZE - _RING)
        ring = (outer[:, None] | outer[None]).ravel()
        axis = np.linspace(-1, 1, SIZE)
        y, x = (a.ravel() for a in np.meshgrid(axis, axis, indexing="ij"))
        basis = np.stack([np.ones_like(y), y, x])  # (3, pixels)
        fit = np.zeros((SIZE * SIZE, 3))
        fit[ring] = np.linalg.pinv(basis[:, ring].T).T
        angle = np.arange(ANGLES) * (2 * np.pi / ANGLES)
        radius = (np.arange(RADII) + 0.5) * (_REACH / RADII)
        rays = np.stack([radius[:, None] * np.cos(angle), radius[:, None] * np.sin(angle)], axis=-1)
        for name, array in (
            ("plane", fit),
            ("basis", basis),
            ("ring", ring / ring.sum()),
            ("rays", rays),
            ("axis", at[::2] - (SIZE - 2) / 2),
        ):
            self.register_buffer(name, torch.tensor(array, dtype=torch.float32))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return polar maps (n, 32 radii, 96 angles) and 4 numbers per crop, (n, 4).

        The numbers: log radius of equal spread, log noise and log contrast of the crop, and how
        much of its box the body fills.
        """
        n = crops.shape[0]
        flat = crops.flatten(1)
        flat = flat - (flat @ self.plane) @ self.basis
        bright = torch.relu(flat)
        level = (bright * bright).sum(1, keepdim=True) / (bright.sum(1, keepdim=True) + 1e-6)
        level = level.clamp(min=1e-6)
        image = (flat / level).reshape(n, 1, self.side, self.side)
        # means of 2 x 2: less noise to mistake for body
        pairs = image[:, 0, :, 0::2] + image[:, 0, :, 1::2]
        coarse = 0.25 * (pairs[:, 0::2] + pairs[:, 1::2])
        soft = ((coarse - self.soft_low) * self.soft_gain).clamp(0.0, 1.0)
        mass = soft.sum((1, 2)).clamp(min=1.0)
        body = ((soft * coarse).sum((1, 2)) / mass).clamp(min=0.1)
        rows, columns = soft.sum(2), soft.sum(1)
        y, x = (rows @ self.axis) / mass, (columns @ self.axis) / mass
        square = self.axis * self.axis
        spread = (rows @ square + columns @ square) / mass - y * y - x * x
        size = torch.sqrt(2 * spread.clamp(min=4.0))  # radius of a disc of the same spread
        centre = torch.stack([x, y], 1) * (2.0 / self.side)
        grid = (
            centre[:, None, None, :] + (size * (2.0 / self.side))[:, None, None, None] * self.rays
        )
        polar = torch.nn.functional.grid_sample(
            image, grid, mode="bilinear", padding_mode="zeros", align_corners=False
        )[:, 0]
        polar = (polar / body[:, None, None]).clamp(-1.0, 2.0)
        noise = torch.sqrt((flat * flat) @ self.ring) / (level[:, 0] * body) + 1e-3
        numbers = torch.stack(
            [
                torch.log(size) - 2.6,
                torch.log(noise) + 2.5,
                torch.log(level[:, 0] * body + 1.0) - 2.5,
                4 * mass / (math.pi * size * size) - 0.8,
            ],
            1,
        )
        return polar, numbers


class Ring(nn.Module):
    """A convolution around the circle, normalised over the batch, with a ramp."""

    def __init__(self, c_in: int, c_out: int, width: int) -> None:
        super().__init__()
        self.half = width // 2
        self.conv = nn.Conv1d(c_in, c_out, width, bias=False)
        self.norm = nn.BatchNorm1d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, c_out, angles)."""
        x = torch.cat([x[:, :, -self.half :], x, x[:, :, : self.half]], 2)
        return torch.relu(self.norm(self.conv(x)))


class Body(nn.Module):
    """Polar maps to the parameters of the mixture."""

    waves: Tensor

    def __init__(self, widths: tuple[int, int, int] = (32, 48, 64), hidden: int = 128) -> None:
        super().__init__()
        self.n_waves = _HARMONICS - 1
        self.first = Ring(RADII, widths[0], 5)
        self.second = Ring(widths[0], widths[1], 5)
        self.third = Ring(widths[1], widths[2], 3)
        angle = np.arange(ANGLES)[:, None] * np.arange(1, _HARMONICS) * (2 * np.pi / ANGLES)
        waves = np.concatenate([np.cos(angle), np.sin(angle)], axis=1) / ANGLES
        self.register_buffer("waves", torch.tensor(waves, dtype=torch.float32))
        self.tones = nn.Conv1d(RADII, 12, 1)
        n_features = 2 * widths[2] + widths[0] + 12 * (_HARMONICS - 1) + 4
        self.dense = nn.Sequential(
            nn.BatchNorm1d(n_features),
            nn.Linear(n_features, hidden),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 5 * N_COMPONENTS),
        )

    def forward(self, polar: Tensor, numbers: Tensor) -> Tensor:
        """Return (n, 60): five raw numbers for each of the twelve components."""
        one = self.first(polar)
        half = one[:, :, 0::2] + one[:, :, 1::2]
        two = self.second(half)
        three = self.third(two)
        wave = self.tones(polar) @ self.waves  # (n, 12, 2 harmonics)
        power = wave * wave
        tone = torch.log(power[:, :, : self.n_waves] + power[:, :, self.n_waves :] + 1e-6)
        features = torch.cat(
            [three.mean(2), three.amax(2), one.mean(2), tone.flatten(1), numbers], 1
        )
        return self.dense(features)


class ShapeNet(nn.Module):
    """Crops to the parameters of their superellipse: what ships."""

    low: Tensor
    high: Tensor
    symmetry: Tensor
    stretch_p: Tensor
    stretch_l: Tensor
    cool: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.view = PolarView()
        self.body = Body()
        low, middle, high = LOG_P
        self.register_buffer("low", torch.tensor([low, middle] * N_D))
        self.register_buffer("high", torch.tensor([middle, high] * N_D))
        self.register_buffer("symmetry", torch.arange(1, N_D + 1, dtype=torch.float32))
        # set once, after training: log factors on the uncertainties, 1 / temperature of the weights
        self.register_buffer("stretch_p", torch.zeros(()))
        self.register_buffer("stretch_l", torch.zeros(()))
        self.register_buffer("cool", torch.ones(()))
        self.top_l = LOG_L[1]

    def mixture(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return log weight, mean and log sd of log p, mean and log sd of log L, (n, 12) each."""
        parts = raw.reshape(-1, 5, 12)
        log_weight = torch.log_softmax(parts[:, 0] * self.cool, 1)
        log_p = self.low + (self.high - self.low) * torch.sigmoid(parts[:, 1])
        log_l = self.top_l * torch.sigmoid(parts[:, 3])
        return (
            log_weight,
            log_p,
            parts[:, 2].clamp(-6.0, 2.0) + self.stretch_p,
            log_l,
            parts[:, 4].clamp(-6.0, 2.0) + self.stretch_l,
        )

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        """Return the most probable shape, its uncertainties, and every component as a start.

        Parameters
        ----------
        crops : (n, 44, 44) float32 tensor
            Particles bright, in units of the pixel noise; any offset and slope.

        Returns
        -------
        dict of str to float32 tensor
            ``p d l_ratio se_log_p se_d se_log_l`` (n,): ``d`` is the mean over the mixture and a
            real number; ``p`` and ``l_ratio`` are those of the most probable component of the
            most probable symmetry. Errors are root mean squares over the mixture about the value
            given. ``d_weight`` (n, 6): probability of each symmetry. ``weight start_p start_l``
            (n, 12): each component, d = 1, 1, 2, 2 ... 6, p below and above 2 in turn.
        """
        polar, numbers = self.view(crops)
        log_weight, log_p, sd_p, log_l, sd_l = self.mixture(self.body(polar, numbers))
        weight = torch.exp(log_weight)
        pairs = weight.reshape(-1, 6, 2)
        d_weight = pairs.sum(2)
        best = d_weight.argmax(1)
        side = torch.gather(pairs, 1, best[:, None, None].expand(-1, 1, 2))[:, 0].argmax(1)
        at = (2 * best + side)[:, None]
        best_p, best_l = torch.gather(log_p, 1, at), torch.gather(log_l, 1, at)
        off_p, off_l = log_p - best_p, log_l - best_l
        d = d_weight @ self.symmetry
        off_d = self.symmetry - d[:, None]
        return {
            "p": torch.exp(best_p[:, 0]),
            "d": d,
            "l_ratio": torch.exp(best_l[:, 0]),
            "se_log_p": torch.sqrt((weight * (torch.exp(2 * sd_p) + off_p * off_p)).sum(1)),
            "se_d": torch.sqrt((d_weight * off_d * off_d).sum(1)),
            "se_log_l": torch.sqrt((weight * (torch.exp(2 * sd_l) + off_l * off_l)).sum(1)),
            "d_weight": d_weight,
            "weight": weight,
            "start_p": torch.exp(log_p),
            "start_l": torch.exp(log_l),
        }
