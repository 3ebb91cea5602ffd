"""Trainings of several threads start one after the other."""

from __future__ import annotations

import threading

import lightning as L

_START = threading.RLock()


class OneStartAtATime(L.Callback):
    """From setup until the first batch nobody else starts.

    While Lightning asks for data loaders it replaces methods of torch's `DataLoader` class, then puts back what it
    found: two trainings at once would put back each other's.
    """

    def __init__(self) -> None:
        self._starting = False

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Wait for the others."""
        _START.acquire()
        self._starting = True

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A training has all its loaders, those of the validation included."""
        self._started()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A validation of its own has its loader."""
        self._started()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Did not get that far."""
        self._started()

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Had nothing to do."""
        self._started()

    def _started(self) -> None:
        if self._starting:
            self._starting = False
            _START.release()
