"""Fourier neural operators at constant resolution."""

from __future__ import annotations

from torch import nn

from ..config import ModelConfig
from .blocks import PtychoBlock
from .convolution import Convolution
from .registry import register

_SOURCE = "Li et al., Fourier neural operator for parametric partial differential equations, 2021, arXiv:2010.08895"


@register(
    "fno_vanilla",
    summary="Operator blocks at full resolution, then the head.",
    source=_SOURCE,
)
def fno_vanilla(model: ModelConfig, N: int) -> nn.Module:
    """`fno_blocks` operator blocks at N x N."""
    return nn.Sequential(*_blocks(model, N))


@register(
    "fno",
    summary="Operator blocks at full resolution, refined by convolutions.",
    source=_SOURCE,
)
def fno(model: ModelConfig, N: int) -> nn.Module:
    """Operator blocks, Conv1x1, then `cnn_blocks` x (Conv3x3 + GELU)."""
    w = model.width
    refiners = [nn.Sequential(Convolution(w, w, 3, padding=1), nn.GELU()) for _ in range(model.cnn_blocks)]
    return nn.Sequential(*_blocks(model, N), nn.Conv2d(w, w, 1), *refiners)


def _blocks(model: ModelConfig, N: int) -> list[PtychoBlock]:
    return [PtychoBlock(model.width, model.modes, N, model.spectral) for _ in range(model.fno_blocks)]
