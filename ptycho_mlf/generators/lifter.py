"""From diffraction patterns to the channels of the first block."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import ModelConfig
from .convolution import Convolution
from .input_transform import InputTransform, Name


class Lifter(nn.Module):
    """InputTransform, Conv3x3 (C -> w), GELU, Conv3x3 (w -> w), zero padding 1: (B, C, N, N) -> (B, w, N, N)."""

    def __init__(self, channels: int, width: int, transform: Name, activation: type[nn.Module] = nn.GELU) -> None:
        super().__init__()
        self.transform = InputTransform(transform)
        self.lift = Convolution(channels, width, 3, padding=1)
        self.activation = activation()
        self.mix = Convolution(width, width, 3, padding=1)

    def forward(self, x_BCNN: Tensor) -> Tensor:
        """Lift, in channels-last memory: every later layer keeps it, and matrix products over channels want it."""
        x = self.transform(x_BCNN).to(memory_format=torch.channels_last)
        return self.mix(self.activation(self.lift(x)))


def lifter(model: ModelConfig, N: int, channels: int) -> Lifter:
    """To `width` channels."""
    return Lifter(channels, model.width, model.input_transform)
