"""A U-Net for particles: the probability of each pixel to lie in one, and how deep it lies."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

DEPTH = 4
"""Blocks that encode, and blocks that decode."""

STRIDE = 2**DEPTH
"""Images are padded to multiples of this."""

DISTANCE_UNIT_PX = 8.0
"""The network's second output is a distance in these units."""


class Double(nn.Module):
    """Two 3 x 3 convolutions, each normalised over the batch, with a ramp."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(c_out, c_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, c_out, h, w)."""
        return self.layers(x)


class UNet(nn.Module):
    """Standardised images to masks and distances: what ships.

    Four blocks encode (two convolutions, then a 2 x 2 maximum and dropout), one stands at the
    bottom, four decode, each with what the encoder saw at its resolution.

    Parameters
    ----------
    base : int
        Channels at full resolution; twice as many at each halving.
    dropout : float
        Share of channels left out after each encoding block while training.
    """

    def __init__(self, base: int = 8, dropout: float = 0.05) -> None:
        super().__init__()
        self.base = base
        widths = [base * 2**k for k in range(DEPTH + 1)]
        self.encode = nn.ModuleList(Double(a, b) for a, b in zip([1, *widths], widths[:DEPTH]))
        self.bottom = Double(widths[DEPTH - 1], widths[DEPTH])
        # from coarse to fine
        self.decode = nn.ModuleList(
            Double(widths[k + 1] + widths[k], widths[k]) for k in reversed(range(DEPTH))
        )
        self.drop = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(base, 2, 1)

    def raw(self, x: Tensor) -> Tensor:
        """Return (n, 2, h, w): log odds of the mask and distance in units, of (n, 1, h, w)."""
        skips: list[Tensor] = []
        for block in self.encode:
            x = block(x)
            skips.append(x)
            x = self.drop(functional.max_pool2d(x, 2))
        x = self.bottom(x)
        for k, block in enumerate(self.decode):
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, skips[len(skips) - 1 - k]], 1))
        return self.head(x)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return what is a particle and how far from its outline.

        Parameters
        ----------
        images : (n, h, w) float32 tensor
            Particles bright, standardised over the frame (``inference.standardised``).

        Returns
        -------
        dict of str to (n, h, w) float32 tensor
            ``probability`` 0 to 1; ``distance``, px, to the particle's own outline, also where
            it touches another.
        """
        h, w = images.shape[1], images.shape[2]
        # STRIDE and DISTANCE_UNIT_PX as numbers: TorchScript reads no globals
        padded = functional.pad(images[:, None], [0, -w % 16, 0, -h % 16], mode="replicate")
        raw = self.raw(padded.contiguous(memory_format=torch.channels_last))[:, :, :h, :w]
        return {
            "probability": torch.sigmoid(raw[:, 0]).contiguous(),
            "distance": (8.0 * torch.relu(raw[:, 1])).contiguous(),
        }
