"""What one pass over the validation patterns tells: loss, contrast of the objects, head saturation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ptycho_mlf.scan import Scan
from ptycho_mlf.telemetry.contrast import Contrast, ContrastMeter, head_saturation

from .holdout import Index


@dataclass(frozen=True)
class Validation:
    """One validation, with the weights of that moment."""

    loss: float
    """Mean of the batch `mae` losses, weighted by the batch sizes."""
    contrast: Contrast
    head_saturation: float | None
    """Share of bounded head outputs within 1 % of a bound; None for an unbounded head."""


def contrast_of_truth(scan: Scan, index: Index, batch: int = 512) -> Contrast | None:
    """The contrast of the true objects of some patterns; None where the object is not known."""
    if scan.truth is None:
        return None
    meter = ContrastMeter(torch.from_numpy(scan.probe_PNN))
    for start in range(0, len(index), batch):
        meter.update(torch.from_numpy(scan.truth_patches(index[start : start + batch])).abs())
    return meter.result()


class ValidationMeter:
    """Accumulates on the device; `result` reads it once."""

    def __init__(self, probe_11PNN: Tensor, output_mode: str) -> None:
        self._contrast = ContrastMeter(probe_11PNN[0, 0])
        self._output_mode = output_mode
        self._loss = torch.zeros((), dtype=torch.float64, device=probe_11PNN.device)
        self._saturation: Tensor | None = None
        self._count = 0

    def update(self, object_BCNN: Tensor, batch_loss: Tensor) -> None:
        """Add a batch of predicted objects and its loss."""
        size = len(object_BCNN)
        self._loss = self._loss + size * batch_loss.detach().double()
        self._contrast.update(object_BCNN.abs())
        saturation = head_saturation(object_BCNN, self._output_mode)
        if saturation is not None:
            before = 0.0 if self._saturation is None else self._saturation
            self._saturation = before + size * saturation
        self._count += size

    def result(self) -> Validation:
        """The validation so far."""
        saturation = None if self._saturation is None else (self._saturation / self._count).item()
        return Validation((self._loss / self._count).item(), self._contrast.result(), saturation)
