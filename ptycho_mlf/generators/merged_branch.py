"""Operator branches for prediction alone, with the 3x3 convolution inside the spectral layer where that is possible.

A spectral layer that holds every mode of its image can be any circular convolution, so a 3x3 one can be added to its
weights. It differs from the convolution of the network at the border alone, where the one wraps around and the other
meets zeros: four strips take away what was wrapped. At small images that is a fraction of the arithmetic (16 px: one
ninth). In a training the weights would have to be merged at every step, which costs as much as it saves.
"""

from __future__ import annotations

import copy
import math
from itertools import chain
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, gelu, pad

from .blocks import OperatorBranch
from .spectral_conv import SpectralConv2d

_M = TypeVar("_M", bound=nn.Module)


class MergedBranch(nn.Module):
    """GELU(Spec(x) + Conv3x3(x)) of an operator branch, (B, c, S, S) -> (B, c, S, S), without derivatives."""

    def __init__(self, branch: OperatorBranch) -> None:
        """Merge.

        Args:
            branch: its spectral layer must hold every mode; its spectral weights are copied, all else is shared.
        """
        super().__init__()
        self.local = branch.local
        self.spectral = _sharing_copy(branch.spectral)
        merged = branch.spectral.weight + kernel_spectrum(branch.local.weight, branch.spectral)
        self.spectral.weight = nn.Parameter(merged, requires_grad=False)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        kernel, bias = self.local.weight, self.local.bias
        assert bias is not None
        y = self.spectral(x).add_(bias[:, None, None])
        # Rows wrapped around the top and bottom, over the columns of a torus; what is left to wrap are columns.
        y[:, :, :1] -= conv2d(pad(x[:, :, -1:], (1, 1, 0, 0), mode="circular"), kernel[:, :, :1])
        y[:, :, -1:] -= conv2d(pad(x[:, :, :1], (1, 1, 0, 0), mode="circular"), kernel[:, :, 2:])
        y[..., :1] -= conv2d(x[..., -1:], kernel[..., :1], padding=(1, 0))
        y[..., -1:] -= conv2d(x[..., :1], kernel[..., 2:], padding=(1, 0))
        return gelu(y)


@torch.no_grad()
def kernel_spectrum(kernel_DC33: Tensor, spectral: SpectralConv2d) -> Tensor:
    """What a 3x3 convolution, wrapped around, multiplies the modes of an image by; laid out as `spectral.weight`.

    y(n) = sum_t k(t) x(n + t) has the spectrum Y(f) = X(f) sum_t k(t) exp(2 pi i f t / S), t = -1, 0, 1 in each axis.
    """
    t = torch.arange(-1, 2, dtype=torch.float64)
    turns_R3 = torch.outer(torch.tensor(spectral.rows), t) / spectral.H
    turns_K3 = torch.outer(torch.arange(spectral.columns), t) / spectral.W
    angle_M9 = 2 * math.pi * (turns_R3[:, None, :, None] + turns_K3[:, None]).reshape(-1, 9)
    phase_M92 = torch.stack([angle_M9.cos(), angle_M9.sin()], -1).to(kernel_DC33)
    return torch.einsum("mtr,dct->mcdr", phase_M92, kernel_DC33.flatten(2)).contiguous()


def merge_branches(network: nn.Module) -> nn.Module:
    """A copy of a network for prediction, all operator branches merged whose spectral layer holds every mode.

    It shares all weights with the network but the merged ones.
    """
    merged = _sharing_copy(network)
    for path, module in list(merged.named_modules()):
        if isinstance(module, OperatorBranch) and _holds_every_mode(module.spectral):
            parent, _, name = path.rpartition(".")
            setattr(merged.get_submodule(parent), name, MergedBranch(module))
    return merged


def _holds_every_mode(spectral: SpectralConv2d) -> bool:
    return spectral.grid == (spectral.H, spectral.W // 2 + 1) == (len(spectral.rows), spectral.columns)


def _sharing_copy(module: _M) -> _M:
    """Modules of its own, the same tensors."""
    return copy.deepcopy(module, {id(tensor): tensor for tensor in chain(module.parameters(), module.buffers())})
