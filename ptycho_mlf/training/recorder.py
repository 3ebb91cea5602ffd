"""Reads the step trace at flushes, makes the epoch rows, keeps the checkpoints, and tells an observer."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import lightning as L
import numpy as np

from ptycho_mlf.telemetry.signals import Signals
from ptycho_mlf.telemetry.trace import Rows

from .checkpoints import BestAndLast
from .module import PtychoModule
from .out_of_memory import is_allocation_failure
from .progress import Progress
from .validation import Validation
from .watch import Watch

_FLUSH_SECONDS = 1.0
"""Longest time between two flushes where reading the device costs nothing (CPU)."""


@dataclass(frozen=True)
class EpochRow:
    """One epoch of the history. Epochs count from 1; the weights are those at its end."""

    epoch: int
    step: int
    """Steps taken so far."""
    train_loss: float
    """Mean of the batch losses, weighted by the batch sizes."""
    val_loss: float
    lr_end: float
    contrast_spatial: float
    contrast_cross_pattern: float
    contrast_phase: float
    """rad."""
    head_saturation: float | None
    dead_channels: dict[str, float]
    """Share of dead channels by place."""
    grad_norm_median: float
    grad_norm_max: float
    seconds: float

    def signals(self) -> Signals:
        """For the verdict."""
        return Signals(
            step=self.step,
            loss=self.val_loss,
            spatial=self.contrast_spatial,
            cross_pattern=self.contrast_cross_pattern,
            phase=self.contrast_phase,
            head_saturation=self.head_saturation,
            dead_channels=self.dead_channels,
        )


class Observer(Protocol):
    """Is told what the host learns, as it learns it."""

    def steps(self, rows: Rows) -> None:
        """Steps that were just flushed."""
        ...

    def epoch(self, row: EpochRow) -> None:
        """An epoch that just ended."""
        ...


Prune = Callable[[EpochRow], bool]
"""Is asked after every epoch but the last whether to give the training up in favour of others."""


class Recorder(L.Callback):
    """The host's side of the telemetry."""

    def __init__(
        self,
        checkpoints: BestAndLast,
        progress: Progress,
        observer: Observer,
        watch: Watch | None = None,
        prune: Prune | None = None,
    ) -> None:
        self._checkpoints, self._progress, self._observer, self._watch = checkpoints, progress, observer, watch
        self._prune = prune
        self.stopped_early = False
        self.pruned = False
        self.history: list[EpochRow] = []
        self._epoch_rows: list[Rows] = []
        self._last_flush = self._epoch_start = time.monotonic()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: PtychoModule) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Start the epoch's clock."""
        self._epoch_rows = []
        self._epoch_start = time.monotonic()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: PtychoModule, *args: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Flush when the buffer is full, or, on a CPU, when a second has passed."""
        idle = pl_module.device.type == "cpu" and time.monotonic() - self._last_flush > _FLUSH_SECONDS
        if pl_module.trace.is_full or idle:
            self._flush(trainer, pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: PtychoModule) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Make the epoch row, unless the epoch was cut short by a non-finite step."""
        self._flush(trainer, pl_module)
        validation = pl_module.validation
        if pl_module.trace.nonfinite_step is not None or validation is None:
            return
        row = self._row(trainer, pl_module, validation)
        self.history.append(row)
        self._checkpoints.update(trainer, row.epoch, row.val_loss)
        self._observer.epoch(row)
        stop = False
        if self._watch is not None:
            verdict, stop = self._watch.look(pl_module.trace.rows(), [row.signals() for row in self.history])
            self._progress.judge(verdict)
        if row.epoch < pl_module.config.training.epochs:
            self.stopped_early = stop
            self.pruned = not stop and self._prune is not None and self._prune(row)
            if self.stopped_early or self.pruned:
                trainer.should_stop = True
        self._progress.epoch(row.epoch, row.train_loss, row.val_loss, row.grad_norm_median)

    def on_train_end(self, trainer: L.Trainer, pl_module: PtychoModule) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Keep the frozen weights of a training that ended inside an epoch."""
        if pl_module.trace.nonfinite_step is not None:
            self._checkpoints.keep_last(trainer)

    def on_exception(self, trainer: L.Trainer, pl_module: PtychoModule, exception: BaseException) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Read the last steps before memory ran out; after other errors the device may not answer."""
        if is_allocation_failure(exception) and hasattr(pl_module, "trace"):
            self._flush(trainer, pl_module)

    def _flush(self, trainer: L.Trainer, pl_module: PtychoModule) -> None:
        rows = pl_module.trace.flush()
        self._last_flush = time.monotonic()
        self._epoch_rows.append(rows)
        self._progress.show(rows, pl_module.validation.loss if pl_module.validation else math.nan)
        if len(rows):
            self._observer.steps(rows)
        if pl_module.trace.nonfinite_step is not None:
            trainer.should_stop = True

    def _row(self, trainer: L.Trainer, module: PtychoModule, validation: Validation) -> EpochRow:
        losses, norms, rates = (
            np.concatenate([rows[name] for rows in self._epoch_rows]) for name in ("loss", "grad_norm_preclip", "lr")
        )
        return EpochRow(
            epoch=trainer.current_epoch + 1,
            step=module.steps_taken,
            train_loss=float(np.average(losses, weights=module.batch_sizes(len(losses)))),
            val_loss=validation.loss,
            lr_end=float(rates[-1]),
            contrast_spatial=validation.contrast.spatial,
            contrast_cross_pattern=validation.contrast.cross_pattern,
            contrast_phase=validation.phase_contrast,
            head_saturation=validation.head_saturation,
            dead_channels=validation.dead_channels,
            grad_norm_median=float(np.median(norms)),
            grad_norm_max=float(norms.max()),
            seconds=time.monotonic() - self._epoch_start,
        )
