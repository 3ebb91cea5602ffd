"""Halving the side of a feature map while its channels grow: (B, c, S, S) -> (B, d, S / 2, S / 2)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d

from .reflect import reflect

Downsample = Literal["strided", "avg_pool", "blur_pool"]


class BlurPool(nn.Module):
    """Every second pixel of the image under a binomial 3x3 filter, edges reflected.

    (Zhang, Making convolutional networks shift-invariant again, 2019, arXiv:1904.11486.) The filter is kept in
    checkpoints, where it tells this network from one with another pooling.
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        binomial = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("kernel", binomial[:, None] * binomial / 16)

    def forward(self, x: Tensor) -> Tensor:
        """Apply it to every channel."""
        kernel = self.kernel.to(x).expand(x.shape[1], 1, 3, 3)
        return conv2d(reflect(x), kernel, stride=2, groups=x.shape[1])


class AveragePool(nn.Module):
    """Means of 2x2 pixels."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        return avg_pool2d(x, 2)


def downsample(kind: Downsample, channels: int, out_channels: int) -> nn.Module:
    """A convolution of kernel 2 and stride 2, or a pooling and a 1x1 convolution."""
    if kind == "strided":
        return nn.Conv2d(channels, out_channels, 2, stride=2)
    pool = BlurPool() if kind == "blur_pool" else AveragePool()
    return nn.Sequential(pool, nn.Conv2d(channels, out_channels, 1))
