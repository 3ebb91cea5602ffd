"""Activation statistics while a network trains: before the first step, every n epochs, at the end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np

from ptycho_mlf.drawing import save_png
from ptycho_mlf.telemetry.activation_heatmap import heatmap_figure
from ptycho_mlf.telemetry.activation_page import write_page
from ptycho_mlf.telemetry.activation_report import Snapshot, build_report, reference_of, write_report
from ptycho_mlf.telemetry.activation_statistics import measure

from .holdout import Index
from .instruments import Instrument
from .module import PtychoModule

PATTERNS = 8
"""Validation patterns of the fixed batch: hundreds of thousands of numbers a layer, in a hundredth of an epoch."""


def spread(available: int, wanted: int) -> Index:
    """Indices of `wanted` patterns (all, if there are fewer), evenly over what is available, the first included."""
    return np.unique(np.linspace(0, available - 1, min(wanted, available)).round().astype(np.int64))


class ActivationMonitor(Instrument):
    """Sends the same validation patterns through the network each time, without gradients or a random number."""

    def __init__(self, every: int, source: Mapping[str, Any]) -> None:
        """Look every so many epochs.

        Args:
            every: epochs between two looks.
            source: what the report says it looked at.
        """
        self._every, self._source = every, dict(source)
        self._samples = 0
        self.snapshots: list[Snapshot] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: PtychoModule) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Look at the initial weights."""
        self._look(trainer, pl_module, trainer.current_epoch)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: PtychoModule) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Look if it is time."""
        epoch = trainer.current_epoch + 1
        if epoch % self._every == 0:
            self._look(trainer, pl_module, epoch)

    def on_train_end(self, trainer: L.Trainer, pl_module: PtychoModule) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Look at the last weights, unless they were just looked at."""
        if not self.snapshots or self.snapshots[-1].step != pl_module.steps_taken:
            self._look(trainer, pl_module, trainer.current_epoch)

    def write(self, folder: Path) -> None:
        """activations/activation_report.json and .html, activations.png at the root; nothing before the first look."""
        if not self.snapshots:
            return
        first = self.snapshots[0]
        name = "before training" if first.epoch == 0 else f"epoch {first.epoch}"
        document = build_report(
            self.snapshots,
            source=self._source,
            samples=self._samples,
            reference=reference_of(name, first.layers),
        )
        activations = folder / "activations"
        activations.mkdir(exist_ok=True)
        write_report(document, activations / "activation_report.json")
        write_page(document, activations / "activation_report.html")
        save_png(heatmap_figure(document), folder / "activations.png")

    def _look(self, trainer: L.Trainer, module: PtychoModule, epoch: int) -> None:
        patterns = trainer.datamodule.val_set  # pyright: ignore[reportAttributeAccessIssue]
        batch = patterns[spread(len(patterns), PATTERNS).tolist()]["amplitude"]
        self._samples = len(batch)
        with trainer.precision_plugin.val_step_context():
            layers = measure(module.model, [batch])
        self.snapshots.append(Snapshot(epoch, module.steps_taken, layers))
