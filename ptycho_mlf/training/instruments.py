"""Instruments: Lightning callbacks that look into a training and write what they saw."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import lightning as L


class Instrument(L.Callback, ABC):
    """Overrides the hooks it needs and changes nothing in the training.

    Gradients before clipping are there in `on_after_backward`, the step is taken in `on_train_batch_end`, the
    validation of an epoch is over in `on_train_epoch_end`. The device is read at epoch ends, or at a stride of its own.
    """

    @abstractmethod
    def write(self, folder: Path) -> None:
        """Write what was seen as artifacts under `folder`; works at any time, also after an error in the training."""

    def points(self) -> list[tuple[str, int, float]]:
        """(series, step, value) for the tracking store, beside the artifacts; none unless an instrument has some."""
        return []
