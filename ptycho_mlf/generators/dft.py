"""Truncated discrete Fourier transforms as real matrices.

Keeping a few frequencies of an image of side S costs less as a matrix product than as a fast transform of all S.
A complex axis is stored as two real halves, (re, im) outermost: index `ri` below. Everything is computed in float64.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def cos_sin(frequencies_K: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """cos and sin of 2 pi k n / side, each (K, side) float64.

    Values at quarter turns are exact, so that what vanishes on paper (the sine part of a self-conjugate bin) is 0.
    """
    turns_KS = frequencies_K[:, None] * torch.arange(side, device=frequencies_K.device)[None] % side
    angle_KS = turns_KS.double() * (2 * math.pi / side)
    sine_is_zero = 2 * turns_KS % side == 0
    cosine_is_zero = (4 * turns_KS % side == 0) & ~sine_is_zero
    return angle_KS.cos().masked_fill(cosine_is_zero, 0.0), angle_KS.sin().masked_fill(sine_is_zero, 0.0)


def real_forward(modes: int, side: int) -> Tensor:
    """Real samples to the frequencies 0..modes-1: (ri modes, side), unnormalised, as `torch.fft.rfft`."""
    cos_KS, sin_KS = cos_sin(torch.arange(modes), side)
    return torch.cat([cos_KS, -sin_KS])


def real_inverse(modes: int, side: int) -> Tensor:
    """The frequencies 0..modes-1 to real samples: (side, ri modes), divided by side, as `torch.fft.irfft`.

    A frequency stands for itself and its conjugate, hence the 2, except zero and Nyquist. There `irfft` ignores the
    imaginary part, and so does the vanishing sine.
    """
    cos_KS, sin_KS = cos_sin(torch.arange(modes), side)
    copies_K = torch.full((modes, 1), 2.0, dtype=torch.float64)
    copies_K[0] = 1
    if 2 * (modes - 1) == side:
        copies_K[-1] = 1
    return (torch.cat([copies_K * cos_KS, -copies_K * sin_KS]) / side).T


def complex_forward(frequencies_K: Tensor, side: int) -> Tensor:
    """Complex samples to the given frequencies: (ri K, side ri), unnormalised, as `torch.fft.fft`.

    The samples carry (re, im) innermost, which is how a column transform of an image lays them out row by row.
    """
    cos_KS, sin_KS = cos_sin(frequencies_K, side)
    real = torch.stack([cos_KS, sin_KS], -1)
    imag = torch.stack([-sin_KS, cos_KS], -1)
    return torch.cat([real, imag]).flatten(1)


def complex_inverse(frequencies_K: Tensor, side: int) -> Tensor:
    """The given frequencies to complex samples: (side ri, ri K), divided by side, as `torch.fft.ifft`."""
    return complex_forward(frequencies_K, side).T / side
