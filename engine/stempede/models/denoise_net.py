"""The denoising network: a small U-Net that may be told which pixels it shall not see."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

STRIDE = 8
"""Sides are filled up to a multiple of this."""
WIDTH = 16


class Pair(nn.Module):
    """Two 3 × 3 convolutions with ramps."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.second = nn.Conv2d(c_out, c_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, c_out, h, w)."""
        return torch.relu(self.second(torch.relu(self.first(x))))


class DenoiseNet(nn.Module):
    """Roots of counts to their mean.

    Blocks of 2 × 2 pixels become channels, so that most work is at half the sampling. The
    network sees about 50 px around a pixel: the places of a few columns, too little to carry
    a lattice's period to where there is none.

    Parameters
    ----------
    width : int
        Channels at half the sampling.
    dropout : float
        Share of the decoder's values dropped while training, and in ``guess``.
    """

    def __init__(self, width: int = WIDTH, dropout: float = 0.1) -> None:
        super().__init__()
        self.dropout = dropout
        self.high = Pair(8, width)
        self.middle = Pair(width, 2 * width)
        self.low = Pair(2 * width, 4 * width)
        self.up_middle = Pair(6 * width, 2 * width)
        self.up_high = Pair(3 * width, width)
        self.out = nn.Conv2d(width, 4, 3, padding=1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return ``denoised`` (n, h, w): every pixel seen, nothing dropped.

        Parameters
        ----------
        images : (n, h, w) float32 tensor
            Roots of electrons less their mean, over their standard deviation. Any sides.
        """
        return {"denoised": self.network(images, torch.ones_like(images), 0.0)}

    @torch.jit.export
    def guess(self, images: Tensor, keep: Tensor) -> Tensor:
        """Return (n, h, w) from the pixels that are kept, part of the decoder dropped at random.

        Parameters
        ----------
        images : (n, h, w) float32 tensor
            As for ``forward``.
        keep : (n, h, w) float32 tensor
            1 for pixels that are seen, 0 for others.
        """
        return self.network(images * keep, keep, self.dropout)

    def network(self, images: Tensor, keep: Tensor, drop: float) -> Tensor:
        """Return (n, h, w) of masked images, a share of the decoder's values dropped."""
        height, width = images.shape[1], images.shape[2]
        both = torch.stack([images, keep], 1)
        # replicate, not reflect: a side may be shorter than what is missing
        both = F.pad(both, (0, -width % 8, 0, -height % 8), "replicate")
        x = F.pixel_unshuffle(both, 2).contiguous(memory_format=torch.channels_last)
        high = self.high(x)
        middle = self.middle(F.max_pool2d(high, 2))
        low = self.low(F.max_pool2d(middle, 2))
        middle = self.up_middle(torch.cat([self.twice(low), middle], 1))
        middle = F.dropout(middle, drop, drop > 0)
        high = self.up_high(torch.cat([self.twice(middle), high], 1))
        high = F.dropout(high, drop, drop > 0)
        return F.pixel_shuffle(self.out(high), 2)[:, 0, :height, :width]

    def twice(self, x: Tensor) -> Tensor:
        """Return maps at twice the sampling."""
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
