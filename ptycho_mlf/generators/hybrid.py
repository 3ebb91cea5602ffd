"""U-shaped hybrids of operator blocks (encoder) and convolutions (decoder)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..config import ModelConfig
from .blocks import PtychoBlock, ResidualBlock, StablePtychoBlock
from .convolution import Convolution, Doubling
from .registry import register

Block = Callable[[int, int, int], ResidualBlock]
"""(channels, modes, side) -> a block."""

_SOURCE = "after Rahman et al., U-NO: U-shaped neural operators, 2023, arXiv:2204.11127"


class DecoderStage(nn.Module):
    """One step up: double the side, join the skip, two convolutions. No normalisation."""

    def __init__(self, deep_channels: int, channels: int) -> None:
        super().__init__()
        self.up = Doubling(deep_channels, channels)
        self.merge = Convolution(2 * channels, channels, 3, padding=1)
        self.activation = nn.GELU()
        self.refine = Convolution(channels, channels, 3, padding=1)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """(B, deep, S, S) and the skip (B, c, 2S, 2S) -> (B, c, 2S, 2S)."""
        x = torch.cat([self.up(deep), skip], dim=1)
        return self.refine(self.activation(self.merge(x)))


class Hybrid(nn.Module):
    """Encoder of n levels with one block each, bottleneck block, decoder of n - 1 stages; (B, w, N, N) both ways.

    Level i has side N / 2^i and w 2^i channels, at most `max_hidden_channels` where that is set. Between levels a
    convolution of kernel 2 and stride 2; the skip is the block output before it. The bottleneck block sits on the last
    level and keeps half the modes.
    """

    def __init__(self, model: ModelConfig, N: int, block: Block) -> None:
        super().__init__()
        channels = level_channels(model)
        self.encoder = nn.ModuleList(block(c, model.modes, N >> level) for level, c in enumerate(channels))
        self.down = nn.ModuleList(nn.Conv2d(c, deeper, 2, stride=2) for c, deeper in pairwise(channels))
        self.bottleneck = block(channels[-1], model.modes // 2, N >> (len(channels) - 1))
        upwards = channels[::-1]
        self.decoder = nn.ModuleList(DecoderStage(deep, c) for deep, c in pairwise(upwards))

    def forward(self, x: Tensor) -> Tensor:
        """Down, across, up."""
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            if level > 0:
                skips.append(x)
                x = self.down[level - 1](x)
            x = block(x)
        x = self.bottleneck(x)
        for stage in self.decoder:
            x = stage(x, skips.pop())
        return x


def level_channels(model: ModelConfig) -> list[int]:
    """Channels of every encoder level: doubled from level to level up to the cap."""
    cap = model.max_hidden_channels or float("inf")
    channels = [model.width]
    while len(channels) < model.fno_blocks:
        channels.append(int(min(2 * channels[-1], cap)))
    return channels


@register(
    "hybrid",
    summary="U-shaped: operator blocks on the way down, convolutions on the way up.",
    source=_SOURCE,
    u_shaped=True,
)
def hybrid(model: ModelConfig, N: int) -> nn.Module:
    """With plain residual blocks."""
    return Hybrid(model, N, lambda c, modes, side: PtychoBlock(c, modes, side, model.spectral))


@register(
    "stable_hybrid",
    summary="The hybrid with blocks that start as the identity: normalised, with zero gain or a small layer scale.",
    source=f"{_SOURCE}; layer scale: Touvron et al. 2021, arXiv:2103.17239; zero gain: Goyal et al. 2017, "
    "arXiv:1706.02677",
    u_shaped=True,
    normalised=True,
)
def stable_hybrid(model: ModelConfig, N: int) -> nn.Module:
    """With stable blocks in encoder and bottleneck."""

    def block(channels: int, modes: int, side: int) -> ResidualBlock:
        return StablePtychoBlock(channels, modes, side, model.spectral, model.residual, model.layerscale_init)

    return Hybrid(model, N, block)
