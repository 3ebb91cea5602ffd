"""The convolutional baseline: one encoder, a decoder each for amplitude and phase, no skips."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from ..config import ModelConfig
from ..config.model import cnn_stages
from .cbam import Cbam
from .heads import OutputHead
from .lifter import Lifter
from .registry import register
from .window_head import UpStage, WindowHead, two_convolutions


class PoolStage(nn.Module):
    """ReLU, attention if wanted, max-pool: (B, c, S, S) -> (B, c, S / 2, S / 2)."""

    def __init__(self, channels: int, cbam: bool) -> None:
        super().__init__()
        self.activation = nn.ReLU()
        self.attention = Cbam(channels) if cbam else None

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        x = self.activation(x)
        if self.attention is not None:
            x = self.attention(x)
        return max_pool2d(x, 2)


class Cnn(nn.Module):
    """(B, c0, N, N) -> (B, 2 d, N / 2, N / 2): the features of amplitude and phase, d channels each.

    An encoder stage is two Conv3x3, each with ReLU, attention and a max-pool; the convolutions of the first stage are
    the lifter's. A decoder stage is two Conv3x3, each with ReLU, and an upsampling. The decoders stop at N / 2.
    """

    def __init__(self, model: ModelConfig, N: int) -> None:
        super().__init__()
        encoder, decoder = encoder_channels(model.width, N), decoder_channels(model.width, N)
        self.encoder = nn.ModuleList(PoolStage(c, model.cbam) for c in encoder)
        self.widen = nn.ModuleList(two_convolutions(c, wider) for c, wider in pairwise(encoder))
        self.decoder = nn.ModuleDict({part: _decoder(decoder) for part in ("amplitude", "phase")})

    def forward(self, x: Tensor) -> Tensor:
        """Down, then up on two ways."""
        for level, pool in enumerate(self.encoder):
            if level > 0:
                x = self.widen[level - 1](x)
            x = pool(x)
        return torch.cat([decoder(x) for decoder in self.decoder.values()], dim=1)


def _decoder(channels: list[int]) -> nn.Sequential:
    return nn.Sequential(*(UpStage(c, narrower) for c, narrower in pairwise(channels)))


def encoder_channels(width: int, N: int) -> list[int]:
    """Channels of every encoder stage: doubled from stage to stage up to 8 width at the bottleneck."""
    stages = cnn_stages(N)
    return [8 * width >> (stages - 1 - stage) for stage in range(stages)]


def decoder_channels(width: int, N: int) -> list[int]:
    """Channels of the bottleneck and behind every decoder stage, halved from stage to stage down to 2 width."""
    stages = cnn_stages(N)
    return [8 * width, *(2 * width << (stages - 2 - stage) for stage in range(stages - 1))]


def _lifter(model: ModelConfig, N: int, channels: int) -> Lifter:
    return Lifter(channels, encoder_channels(model.width, N)[0], model.input_transform, nn.ReLU)


def _head(model: ModelConfig, N: int, channels: int) -> OutputHead:
    return WindowHead(
        decoder_channels(model.width, N)[-1], channels, model.output, 2 * model.width if model.probe_big else 0
    )


@register(
    "cnn",
    summary="Convolutional encoder with attention, a decoder each for amplitude and phase.",
    source="after Hoidn et al., Sci. Rep. 13, 22789 (2023); attention: Woo et al. 2018, arXiv:1807.06521",
    family="convolutional",
    lifter=_lifter,
    head=_head,
)
def cnn(model: ModelConfig, N: int) -> nn.Module:
    """Encoder and decoders."""
    return Cnn(model, N)
