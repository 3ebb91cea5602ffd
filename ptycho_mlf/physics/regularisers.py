"""Terms on the object itself: total variation, mean deviation, and the distance to a known object.

Objects are complex (B, C, N, N) in normalised units, phases in rad. Phase differences are taken modulo 2 pi, so that
no term sees a wrap. Where the amplitude is below `DARK` there is no phase: its gradient is 0 there, not infinite.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

DARK = 1e-6
"""Amplitude under which a phase is not defined; objects have amplitudes of order 1."""


def variation_amp(object_BCNN: Tensor) -> Tensor:
    """Anisotropic total variation of the amplitude, per px: mean |difference| along rows plus along columns."""
    amplitude_BCNN = object_BCNN.abs()
    return amplitude_BCNN.diff(dim=-1).abs().mean() + amplitude_BCNN.diff(dim=-2).abs().mean()


def variation_phase(object_BCNN: Tensor) -> Tensor:
    """Anisotropic total variation of the phase, rad per px, differences wrapped."""
    phase_BCNN = _phase(object_BCNN)
    return _wrap(phase_BCNN.diff(dim=-1)).abs().mean() + _wrap(phase_BCNN.diff(dim=-2)).abs().mean()


def deviation_amp(object_BCNN: Tensor) -> Tensor:
    """mean |amplitude - its mean over the patch|."""
    amplitude_BCNN = object_BCNN.abs()
    return (amplitude_BCNN - amplitude_BCNN.mean(dim=(-2, -1), keepdim=True)).abs().mean()


def deviation_phase(object_BCNN: Tensor) -> Tensor:
    """mean |phase - its circular mean over the patch|, rad, differences wrapped."""
    phase_BCNN = _phase(object_BCNN)
    phasors_BCNN = torch.polar(torch.ones_like(phase_BCNN), phase_BCNN)
    return _wrap(phase_BCNN - _phase(phasors_BCNN.mean(dim=(-2, -1), keepdim=True))).abs().mean()


def supervised(object_BCNN: Tensor, truth_BCNN: Tensor) -> Tensor:
    """2 mean |amplitude difference| + 4 mean |phase difference|, the latter in rad and wrapped."""
    amplitude = (object_BCNN.abs() - truth_BCNN.abs()).abs().mean()
    phase = _wrap(_phase(object_BCNN) - _phase(truth_BCNN)).abs().mean()
    return 2.0 * amplitude + 4.0 * phase


def _phase(object_BCNN: Tensor) -> Tensor:
    return torch.where(object_BCNN.abs() < DARK, 0.0, object_BCNN).angle()


def _wrap(phase: Tensor) -> Tensor:
    """To [-pi, pi]; exact for what is already there."""
    return phase - 2.0 * math.pi * (phase / (2.0 * math.pi)).round()
