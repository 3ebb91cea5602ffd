"""Residual operator blocks. Every block is x + branch(x), so that the branch can be observed on its own."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from .convolution import Convolution
from .instance_norm import instance_norm
from .spectral_conv import Kind, SpectralConv2d

Residual = Literal["zero_gamma", "layerscale"]


class OperatorBranch(nn.Module):
    """GELU(Spec(x) + Conv3x3(x)): global and local filtering side by side, (B, c, S, S) -> (B, c, S, S)."""

    def __init__(self, channels: int, modes: int, side: int, kind: Kind) -> None:
        super().__init__()
        self.spectral = SpectralConv2d(channels, channels, modes, side, kind)
        self.local = Convolution(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        return gelu(self.spectral(x) + self.local(x))


class StableBranch(nn.Module):
    """lambda * IN(GELU(Spec(x) + Conv3x3(x))), small or zero at initialisation.

    IN is an instance norm with gain `gamma` and offset `beta`, eps 1e-5.

    - `zero_gamma`: gamma = 0, beta = 0, no lambda. The block is the identity, and at the first step only gamma and
      beta receive a gradient (Goyal et al. 2017, arXiv:1706.02677, for batch norm).
    - `layerscale`: gamma = 1, beta = 0 and a learnable lambda per channel (Touvron et al. 2021, arXiv:2103.17239).
    """

    unit_axis: ClassVar[dict[str, int | None]] = {"gamma": None, "beta": None, "layerscale": None}
    eps: ClassVar[float] = 1e-5
    layerscale: nn.Parameter | None

    def __init__(
        self, channels: int, modes: int, side: int, kind: Kind, residual: Residual, layerscale_init: float
    ) -> None:
        super().__init__()
        self.operator = OperatorBranch(channels, modes, side, kind)
        self.gamma = nn.Parameter(torch.zeros(channels) if residual == "zero_gamma" else torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))
        scale = nn.Parameter(torch.full((channels,), layerscale_init)) if residual == "layerscale" else None
        self.register_parameter("layerscale", scale)

    def forward(self, x: Tensor) -> Tensor:
        """Apply it. lambda is folded into gain and offset: one pass over the image less, the same function."""
        gain, offset = self.gamma, self.beta
        if self.layerscale is not None:
            gain, offset = self.layerscale * gain, self.layerscale * offset
        return instance_norm(self.operator(x), gain, offset, self.eps)


class ResidualBlock(nn.Module):
    """y = x + branch(x)."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        return x + self.branch(x)


class PtychoBlock(ResidualBlock):
    """y = x + GELU(Spec(x) + Conv3x3(x)), (B, c, S, S) -> (B, c, S, S), no normalisation."""

    def __init__(self, channels: int, modes: int, side: int, kind: Kind) -> None:
        super().__init__(OperatorBranch(channels, modes, side, kind))


class StablePtychoBlock(ResidualBlock):
    """y = x + lambda * IN(GELU(Spec(x) + Conv3x3(x))): the identity, or nearly, at initialisation."""

    def __init__(
        self, channels: int, modes: int, side: int, kind: Kind, residual: Residual, layerscale_init: float = 1e-3
    ) -> None:
        super().__init__(StableBranch(channels, modes, side, kind, residual, layerscale_init))
