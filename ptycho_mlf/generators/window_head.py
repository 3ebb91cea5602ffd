"""The head of the cnn: amplitude and phase from features of their own, at first for the central window only."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, silu

from .heads import OutputHead, OutputMode


def two_convolutions(channels: int, out_channels: int) -> nn.Sequential:
    """Conv3x3, ReLU, Conv3x3."""
    return nn.Sequential(
        nn.Conv2d(channels, out_channels, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, 3, padding=1),
    )


class UpStage(nn.Module):
    """Two Conv3x3, each with ReLU, then every pixel four times: (B, c, S, S) -> (B, d, 2S, 2S)."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolutions = two_convolutions(channels, out_channels)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        return interpolate(self.activation(self.convolutions(x)), scale_factor=2.0)


class Logits(nn.Module):
    """Features (B, d, N/2, N/2) -> one real number per pixel and pattern, before any activation.

    All channels but C feed a Conv3x3 for the central N/2 window. With a ring, the C spare channels are upsampled to
    N x N and add what a window of half the side cannot hold; (B, C, N, N) then, else (B, C, N/2, N/2).
    """

    def __init__(self, features: int, channels: int, ring_channels: int) -> None:
        super().__init__()
        self.spare = channels
        self.window = nn.Conv2d(features - channels, channels, 3, padding=1)
        self.ring_up = UpStage(channels, ring_channels) if ring_channels else None
        self.ring = nn.Conv2d(ring_channels, channels, 3, padding=1) if ring_channels else None

    def start_at(self, logit: float) -> None:
        """Make all pixels start around a number."""
        last = self.window if self.ring is None else self.ring
        nn.init.constant_(cast(Tensor, last.bias), logit)

    def forward(self, features: Tensor) -> Tensor:
        """Apply it."""
        window = self.window(features[:, : -self.spare])
        if self.ring is None or self.ring_up is None:
            return window
        return framed(window) + self.ring(self.ring_up(features[:, -self.spare :]))


class WindowHead(OutputHead):
    """Features of amplitude and phase (B, 2 d, N/2, N/2) -> complex object (B, C, N, N).

    - `silu_phase`: amplitude = silu, at least -0.28 and without upper bound; phase = pi tanh. The amplitude starts
      around silu(1) = 0.73: one that starts below zero ends in the minimum of silu, where no gradient is left, since
      an object and its negative give the same pattern.
    - `amp_phase`: amplitude = sigmoid, phase = pi tanh.

    Without a ring only the central window is predicted, and the object around it is zero.
    """

    def __init__(self, features: int, channels: int, output_mode: OutputMode, ring_channels: int) -> None:
        """Two stacks of convolutions.

        Args:
            features: d.
            channels: C.
            output_mode: `silu_phase` or `amp_phase`.
            ring_channels: of the branch around the window, 0 for none.
        """
        super().__init__()
        self.output_mode = output_mode
        self.amplitude = Logits(features, channels, ring_channels)
        self.phase = Logits(features, channels, ring_channels)
        if output_mode == "silu_phase":
            self.amplitude.start_at(1.0)

    def last_layers(self) -> Iterator[str]:
        """All but the convolutions that upsample the ring."""
        yield from (name for name in super().last_layers() if ".ring_up." not in name)

    def forward(self, features: Tensor) -> Tensor:
        """The object, complex64 (complex128 for float64 features), whatever the autocast precision."""
        of_amplitude, of_phase = features.chunk(2, dim=1)
        first, second = self.amplitude(of_amplitude), self.phase(of_phase)
        first, second = (t.to(torch.promote_types(t.dtype, torch.float32)) for t in (first, second))
        amplitude = first.sigmoid() if self.output_mode == "amp_phase" else silu(first)
        phase = math.pi * second.tanh()
        # Not torch.polar: its gradient takes the amplitude for positive.
        object_BCSS = torch.complex(amplitude * phase.cos(), amplitude * phase.sin())
        return (framed(object_BCSS) if self.amplitude.ring is None else object_BCSS).contiguous()


def framed(window: Tensor) -> Tensor:
    """Zeros around a window: (..., S, S) -> (..., 2S, 2S)."""
    side = window.shape[-1] // 2
    return pad(window, (side, side, side, side))
