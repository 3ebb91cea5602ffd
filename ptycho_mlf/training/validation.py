"""What one pass over the validation patterns tells: loss, contrast of the objects, head saturation, dead channels."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

import torch
from torch import Tensor, nn

from ptycho_mlf.scan import Scan
from ptycho_mlf.telemetry.contrast import Contrast, ContrastMeter, head_saturation
from ptycho_mlf.telemetry.dead_channels import DeadChannelMeter
from ptycho_mlf.telemetry.phase_contrast import PhaseContrastMeter
from ptycho_mlf.telemetry.signals import Signals

from .holdout import Index


@dataclass(frozen=True)
class Validation:
    """One validation, with the weights of that moment."""

    loss: float
    """Mean of the batch `mae` losses, weighted by the batch sizes."""
    contrast: Contrast
    phase_contrast: float
    """Standard deviation of the phase after plane removal, patch mean, rad."""
    head_saturation: float | None
    """Share of bounded head outputs within 1 % of a bound; None for an unbounded head."""
    dead_channels: dict[str, float]
    """Share of dead channels, 0..1, by place in the generator."""

    def signals(self, step: int) -> Signals:
        """For the verdict, after `step` steps."""
        return Signals(
            step=step,
            loss=self.loss,
            spatial=self.contrast.spatial,
            cross_pattern=self.contrast.cross_pattern,
            phase=self.phase_contrast,
            head_saturation=self.head_saturation,
            dead_channels=self.dead_channels,
        )


@dataclass(frozen=True)
class TruthContrast:
    """What the true objects of the validation patterns have: the references for a prediction."""

    amplitude: Contrast
    phase: float
    """rad; 0 for real objects."""


def contrast_of_truth(scan: Scan, index: Index, batch: int = 512) -> TruthContrast | None:
    """The contrast of the true objects of some patterns; None where the object is not known."""
    if scan.truth is None:
        return None
    probe_PNN = torch.from_numpy(scan.probe_PNN)
    amplitude, phase = ContrastMeter(probe_PNN), PhaseContrastMeter(probe_PNN)
    for start in range(0, len(index), batch):
        object_BCNN = torch.from_numpy(scan.truth_patches(index[start : start + batch]))
        amplitude.update(object_BCNN.abs())
        phase.update(object_BCNN)
    return TruthContrast(amplitude.result(), phase.result())


class ValidationMeter:
    """Accumulates on the device while it is entered as a context; `result` reads it."""

    def __init__(self, generator: nn.Module, probe_11PNN: Tensor, output_mode: str) -> None:
        self._contrast = ContrastMeter(probe_11PNN[0, 0])
        self._phase = PhaseContrastMeter(probe_11PNN[0, 0])
        self._dead = DeadChannelMeter(generator)
        self._output_mode = output_mode
        self._loss = torch.zeros((), dtype=torch.float64, device=probe_11PNN.device)
        self._saturation: Tensor | None = None
        self._count = 0

    def __enter__(self) -> Self:
        """Start to watch the generator."""
        self._dead.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the generator alone."""
        self._dead.__exit__(kind, error, trace)

    def update(self, object_BCNN: Tensor, batch_loss: Tensor) -> None:
        """Add a batch of predicted objects and its loss."""
        size = len(object_BCNN)
        self._loss = self._loss + size * batch_loss.detach().double()
        self._contrast.update(object_BCNN.abs())
        self._phase.update(object_BCNN)
        saturation = head_saturation(object_BCNN, self._output_mode)
        if saturation is not None:
            before = 0.0 if self._saturation is None else self._saturation
            self._saturation = before + size * saturation
        self._count += size

    def result(self) -> Validation:
        """The validation so far."""
        return Validation(
            loss=(self._loss / self._count).item(),
            contrast=self._contrast.result(),
            phase_contrast=self._phase.result(),
            head_saturation=None if self._saturation is None else (self._saturation / self._count).item(),
            dead_channels=self._dead.result(),
        )
