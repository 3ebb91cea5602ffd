"""Output heads: from features to complex object patches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from ..config import ModelConfig

OutputMode = Literal["real_imag", "amp_phase", "amp_phase_logits", "silu_phase"]


class OutputHead(nn.Module):
    """The last part of a generator: features to complex objects (B, C, N, N), in normalised object units."""

    output_mode: OutputMode

    def last_layers(self) -> Iterator[str]:
        """Names of the parameters that make the output, without layers hidden in the head."""
        yield from (name for name, _ in self.named_parameters())


class Head(OutputHead):
    """Features (B, w, N, N) -> complex object (B, C, N, N).

    - `real_imag`: one 1x1 convolution to real and imaginary part; unbounded.
    - `amp_phase`: two 1x1 convolutions; amplitude = sigmoid in 0..1, phase = pi tanh in -pi..pi rad.
    - `amp_phase_logits`: the network of `real_imag`, read as the logits of `amp_phase`.
    """

    def __init__(self, width: int, channels: int, output_mode: OutputMode) -> None:
        super().__init__()
        self.output_mode = output_mode
        self.channels = channels
        if output_mode == "amp_phase":
            self.amplitude = nn.Conv2d(width, channels, 1)
            self.phase = nn.Conv2d(width, channels, 1)
        else:
            self.projection = nn.Conv2d(width, 2 * channels, 1)

    def forward(self, features_BwNN: Tensor) -> Tensor:
        """The object, complex64 (complex128 for float64 features), whatever the autocast precision."""
        if self.output_mode == "amp_phase":
            first, second = self.amplitude(features_BwNN), self.phase(features_BwNN)
        else:
            first, second = self.projection(features_BwNN).split(self.channels, dim=1)
        first, second = (t.to(torch.promote_types(t.dtype, torch.float32)) for t in (first, second))
        if self.output_mode == "real_imag":
            object_BCNN = torch.complex(first, second)
        else:
            object_BCNN = torch.polar(first.sigmoid(), math.pi * second.tanh())
        return object_BCNN.contiguous()


def head(model: ModelConfig, N: int, channels: int) -> Head:
    """From `width` channels."""
    return Head(model.width, channels, model.output_mode)
