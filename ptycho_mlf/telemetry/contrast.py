"""Signals of collapse in predicted objects: spatial contrast, cross-pattern variation, head saturation.

Shapes: B patterns, C channels, N patch side.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Contrast:
    """Contrast of an amplitude over a set of patterns, both as a ratio to the mean."""

    spatial: float
    """Mean over patterns of std / mean over pixels (k_A): 0 for a picture without features."""
    cross_pattern: float
    """Per pixel the std over patterns, averaged, over the mean (k_X): 0 when every pattern gives the same picture."""


_TINY = 1e-30
"""Keeps the contrast of an all-zero output at 0 instead of 0 / 0."""


class ContrastMeter:
    """Accumulates contrast over batches on the device, pixels weighted by the probe intensity.

    The weights keep the dark border of a patch, which no photon constrains, out of the statistics.
    """

    def __init__(self, probe_PNN: Tensor) -> None:
        """Start empty.

        Args:
            probe_PNN: complex probe modes; their summed intensity is the weight of a pixel.
        """
        intensity = probe_PNN.abs().double().square().sum(0)
        self._weight_NN = intensity / intensity.sum()
        zero = torch.zeros((), dtype=torch.float64, device=probe_PNN.device)
        self._count = 0
        self._spatial = zero
        self._sum_CNN = zero
        self._squares_CNN = zero
        self._reference_CNN: Tensor | None = None

    def update(self, amplitude_BCNN: Tensor) -> None:
        """Add a batch of object amplitudes."""
        amplitude = amplitude_BCNN.detach().double()
        mean_BC = (amplitude * self._weight_NN).sum((-2, -1))
        variance_BC = ((amplitude - mean_BC[..., None, None]).square() * self._weight_NN).sum((-2, -1))
        self._spatial = self._spatial + (variance_BC.sqrt() / mean_BC.clamp_min(_TINY)).mean(1).sum()
        if self._reference_CNN is None:
            # Sums of differences from the first picture: a nearly constant output would cancel otherwise.
            self._reference_CNN = amplitude[0]
        difference = amplitude - self._reference_CNN
        self._sum_CNN = self._sum_CNN + difference.sum(0)
        self._squares_CNN = self._squares_CNN + difference.square().sum(0)
        self._count += len(amplitude)

    def result(self) -> Contrast:
        """The contrast of everything added so far; reads the device once.

        Raises:
            ValueError: nothing was added.
        """
        if self._reference_CNN is None:
            raise ValueError("contrast of no patterns")
        difference_CNN = self._sum_CNN / self._count
        variance_CNN = (self._squares_CNN / self._count - difference_CNN.square()).clamp_min(0)
        mean = ((self._reference_CNN + difference_CNN) * self._weight_NN).sum()
        cross = (variance_CNN.sqrt() * self._weight_NN).sum() / mean.clamp_min(_TINY)
        spatial, cross_pattern = torch.stack([self._spatial / self._count, cross]).tolist()
        return Contrast(spatial, cross_pattern)


class BatchContrast:
    """The two contrasts within one batch, as scalars on the device: cheap enough for every step, nothing is read."""

    def __init__(self, probe_PNN: Tensor) -> None:
        """Take the weights of the pixels.

        Args:
            probe_PNN: complex probe modes; their summed intensity is the weight of a pixel.
        """
        intensity = probe_PNN.abs().square().sum(0)
        self._weight_NN = intensity / intensity.sum()

    @torch.no_grad()
    def __call__(self, object_BCNN: Tensor) -> tuple[Tensor, Tensor]:
        """Spatial contrast and cross-pattern variation of the amplitude; the latter is NaN for a single pattern."""
        amplitude = object_BCNN.detach().abs()
        mean_BC = (amplitude * self._weight_NN).sum((-2, -1))
        variance_BC = ((amplitude - mean_BC[..., None, None]).square() * self._weight_NN).sum((-2, -1))
        spatial = (variance_BC.sqrt() / mean_BC.clamp_min(_TINY)).mean()
        if len(amplitude) == 1:
            return spatial, torch.full_like(spatial, torch.nan)
        # torch's own std over the first axis takes five times as long on a CPU.
        deviation_CNN = (amplitude - amplitude.mean(0)).square().mean(0).sqrt()
        cross = (deviation_CNN * self._weight_NN).sum((-2, -1)).mean() / mean_BC.mean().clamp_min(_TINY)
        return spatial, cross


def head_saturation(object_BCNN: Tensor, output_mode: str) -> Tensor | None:
    """Share of bounded outputs within 1 % of a bound, or None for the unbounded `real_imag` head.

    Bounds: amplitude 0 and 1, phase -pi and pi; the phase alone for `silu_phase`, whose amplitude has no upper bound.
    """
    if output_mode == "real_imag":
        return None
    amplitude, phase = object_BCNN.abs(), object_BCNN.angle().abs() / torch.pi
    of_phase = (phase > 0.99).float().mean()
    if output_mode == "silu_phase":
        return of_phase
    return (((amplitude < 0.01) | (amplitude > 0.99)).float().mean() + of_phase) / 2
