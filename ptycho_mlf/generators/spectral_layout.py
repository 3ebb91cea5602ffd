"""Spectral weights in the complex layout of older checkpoints, and back.

The older layout is one complex parameter (Cin, Cout, ky, kx), as in most Fourier neural operators. Along ky and kx it
holds the modes in the order of this layer's grid: `one_sided` modes x modes with ky = 0..modes-1; `two_sided` the rows
ky = 0..modes-1 and then H-modes..H-1, or all rows of the image once, by the columns that the image has.
"""

from __future__ import annotations

import torch
from torch import Tensor


def to_complex_layout(weight_KCD2: Tensor, grid: tuple[int, int]) -> Tensor:
    """Real (modes, Cin, Cout, 2) -> complex (Cin, Cout, ky, kx).

    Args:
        weight_KCD2: the weight of a `SpectralConv2d`.
        grid: its stored rows and columns, `SpectralConv2d.grid`.
    """
    complex_KCD = torch.view_as_complex(weight_KCD2.contiguous())
    return complex_KCD.unflatten(0, grid).permute(2, 3, 0, 1).contiguous()


def from_complex_layout(weight_CDyx: Tensor) -> Tensor:
    """Complex (Cin, Cout, ky, kx) -> real (modes, Cin, Cout, 2), modes row by row."""
    return torch.view_as_real(weight_CDyx.permute(2, 3, 0, 1).flatten(0, 1).contiguous())
