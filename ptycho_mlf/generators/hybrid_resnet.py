"""Operator blocks that halve the side twice, residual convolutions at a quarter of it, two steps up."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ..config import ModelConfig
from .blocks import PtychoBlock
from .downsample import downsample
from .gate import Gate
from .heads import Head
from .reflect import reflect
from .registry import register

DOWNSAMPLES = 2
Skip = Literal["none", "add", "concat", "gated_add"]


def _instance_norm(channels: int) -> nn.GroupNorm:
    # One group per channel is an instance norm, and unlike torch's own it keeps channels-last memory.
    return nn.GroupNorm(channels, channels, eps=1e-5)


class ResnetBranch(nn.Module):
    """Conv3x3, IN, GELU, Conv3x3, IN, edges reflected; (B, c, S, S) both ways.

    The residual block of Zhu et al., CycleGAN, 2017, arXiv:1703.10593, with GELU. A bias before a norm would be dead.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, bias=False)
        self.first_norm = _instance_norm(channels)
        self.activation = nn.GELU()
        self.second = nn.Conv2d(channels, channels, 3, bias=False)
        self.second_norm = _instance_norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        x = self.activation(self.first_norm(self.first(reflect(x))))
        return self.second_norm(self.second(reflect(x)))


class SkipJoin(nn.Module):
    """Joins an encoder level (B, c, S, S) to a decoder stage (B, d, S, S) through a 1x1 convolution.

    - `add`: x + Conv(skip)
    - `gated_add`: x + g Conv(skip), g learnable, 0.1 at the start
    - `concat`: Conv([x, skip])
    """

    def __init__(self, skip_channels: int, channels: int, kind: Literal["add", "concat", "gated_add"]) -> None:
        super().__init__()
        self.concatenate = kind == "concat"
        self.projection = nn.Conv2d(skip_channels + channels * self.concatenate, channels, 1)
        self.gate = Gate() if kind == "gated_add" else None

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Apply it."""
        if self.concatenate:
            return self.projection(torch.cat([x, skip], dim=1))
        projected = self.projection(skip)
        return x + (projected if self.gate is None else self.gate(projected))


class UpStage(nn.Module):
    """ConvTranspose 4x4 of stride 2, IN, GELU, then a skip: (B, c, S, S) -> (B, c / 2, 2S, 2S)."""

    def __init__(self, channels: int, skip_channels: int, skip: Skip) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels, channels // 2, 4, stride=2, padding=1, bias=False)
        self.norm = _instance_norm(channels // 2)
        self.activation = nn.GELU()
        self.join = None if skip == "none" else SkipJoin(skip_channels, channels // 2, skip)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Apply it."""
        x = self.activation(self.norm(self.up(x)))
        return x if self.join is None else self.join(x, skip)


class HybridResnet(nn.Module):
    """(B, w, N, N) -> (B, r / 4, N, N).

    Encoder blocks at N, N/2, and all others at N/4 with 4 w channels; a 1x1 convolution to r channels where r is not
    4 w; residual blocks x + g branch(x) at N/4, one g for all of them; two steps up, each with half the channels.
    """

    def __init__(self, model: ModelConfig, N: int) -> None:
        super().__init__()
        levels = [min(block, DOWNSAMPLES) for block in range(model.fno_blocks)]
        channels = [model.width << level for level in range(DOWNSAMPLES + 1)]
        self.encoder = nn.ModuleList(
            PtychoBlock(channels[level], model.modes, N >> level, model.spectral) for level in levels
        )
        self.down = nn.ModuleList(
            downsample(model.resnet_downsample, channels[level], channels[level + 1]) for level in range(DOWNSAMPLES)
        )
        r = resnet_channels(model)
        self.adapter = nn.Conv2d(channels[-1], r, 1) if r != channels[-1] else None
        self.resnet = nn.ModuleList(ResnetBranch(r) for _ in range(model.resnet_blocks))
        self.gate = Gate()
        self.decoder = nn.ModuleList(
            UpStage(r >> step, channels[DOWNSAMPLES - 1 - step], model.resnet_skips) for step in range(DOWNSAMPLES)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Down, across, up."""
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(x)
            if level < DOWNSAMPLES:
                skips.append(x)
                x = self.down[level](x)
        if self.adapter is not None:
            x = self.adapter(x)
        for branch in self.resnet:
            x = x + self.gate(branch(x))
        for stage in self.decoder:
            x = stage(x, skips.pop())
        return x


def resnet_channels(model: ModelConfig) -> int:
    """Channels of the residual blocks."""
    return model.resnet_width or model.width << DOWNSAMPLES


def _head(model: ModelConfig, N: int, channels: int) -> Head:
    return Head(resnet_channels(model) >> DOWNSAMPLES, channels, model.output_mode)


@register(
    "hybrid_resnet",
    summary="Operator blocks down to a quarter of the side, residual convolutions there, upsampling.",
    source="Zhu et al., Unpaired image-to-image translation, 2017, arXiv:1703.10593, behind a Fourier encoder",
    normalised=True,
    head=_head,
)
def hybrid_resnet(model: ModelConfig, N: int) -> nn.Module:
    """Encoder, residual blocks, decoder."""
    return HybridResnet(model, N)
