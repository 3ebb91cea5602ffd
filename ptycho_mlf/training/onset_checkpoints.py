"""Keeps, while a training runs, the state from which the worst event of its loss can be replayed."""

from __future__ import annotations

import shutil
from pathlib import Path

import lightning as L

from ptycho_mlf.telemetry.onset import Event, OnsetWatch
from ptycho_mlf.telemetry.trace import Rows

from .module import PtychoModule


class OnsetCheckpoints(L.Callback):
    """Copies of `last.ckpt` at the ends of epochs, at most four at a time.

    Which event is the worst is known only later. At the end of an epoch there are three that may become it: the worst
    so far, the latest, which may still grow, and one that begins with the next step. What is needed for each is the
    state at the start of the epoch of the step before it, since that step is looked at too; the first epoch starts from
    the initial weights, which follow from the seed. It comes after the recorder, which reads the trace and saves.
    """

    def __init__(self, last: Path, folder: Path) -> None:
        """Start empty.

        Args:
            last: `last.ckpt` of the training.
            folder: where the copies go.
        """
        self._last, self._folder = last, folder
        self._watch = OnsetWatch()
        self._seen = 0
        self._copies: dict[int, Path] = {}
        folder.mkdir(parents=True)

    @property
    def event(self) -> Event | None:
        """The worst event up to the end of the last epoch: the one of the post-mortem."""
        return self._watch.worst

    def start(self, step: int) -> Path | None:
        """The latest copy from which the step before `step` can be taken again; None: the initial weights."""
        earlier = [taken for taken in self._copies if taken < max(step, 1)]
        return self._copies[max(earlier)] if earlier else None

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: PtychoModule) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Look at the steps of the epoch."""
        trace = pl_module.trace
        self.look(trace.rows(), int(trainer.num_training_batches), trace.nonfinite_step)

    def look(self, rows: Rows, batches: int, nonfinite_step: int | None) -> None:
        """Look at the new steps, drop what is no longer needed, and copy `last.ckpt` unless the training is over.

        Args:
            rows: the trace up to the end of an epoch.
            batches: steps per epoch.
            nonfinite_step: the last one, if it was not finite.
        """
        for step, loss in zip(rows["step"][self._seen :], rows["loss"][self._seen :], strict=True):
            self._watch.add(int(step), float(loss), finite=int(step) != nonfinite_step)
        self._seen = taken = len(rows)
        self._drop(batches, taken)
        if nonfinite_step is None:
            self._copies[taken] = self._folder / f"{taken}.ckpt"
            shutil.copyfile(self._last, self._copies[taken])

    def _drop(self, batches: int, taken: int) -> None:
        onsets = [event.step for event in (self._watch.worst, self._watch.latest) if event is not None]
        needed = {max(step - 1, 0) // batches * batches for step in (*onsets, taken)}
        for unneeded in self._copies.keys() - needed:
            self._copies.pop(unneeded).unlink()
