"""The progress bar: one over all steps, with loss, gradient norm, epoch and time left."""

from __future__ import annotations

import math
import sys
import threading
import time
from typing import Any

import lightning as L
import torch
from tqdm import tqdm

from ptycho_mlf.telemetry.trace import Rows
from ptycho_mlf.telemetry.verdict_names import VerdictName

_ANNOUNCE_AFTER = 5
"""Steps after which the duration is estimated; the first one is slow."""
_ANNOUNCE_FROM = 60.0
"""Shortest training, in seconds, whose duration is announced."""


_WORDS = {
    "flat_amplitude": "flat",
    "input_independent": "same_picture",
    "saturated_head": "saturated",
    "stagnated": "no_skill_yet",
    "dead_layer": "dead",
}
"""Verdicts of a running training in short words; the others are short."""


class Progress(L.Callback):
    """Shows values the host already has, so that nothing waits for the device."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._verdict: dict[str, str] = {}
        self._started = 0.0
        thread = threading.current_thread()
        # Several trainings of one process show who they are.
        self._who = "" if thread is threading.main_thread() else f"{thread.name}: "

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Open the bar."""
        self._bar = tqdm(
            total=int(trainer.estimated_stepping_batches),
            unit="step",
            file=sys.stderr,
            dynamic_ncols=True,
            mininterval=0.2,
            # A log file gets a line per epoch instead.
            disable=not sys.stderr.isatty(),
        )
        self._begun = time.monotonic()
        self._total, self._steps = int(trainer.estimated_stepping_batches), 0
        self._on_cpu = pl_module.device.type == "cpu"

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """One step further."""
        self._bar.update()
        self._steps += 1
        if not self._on_cpu:
            return
        if self._steps == 1:
            self._started = time.monotonic()
        elif self._steps == _ANNOUNCE_AFTER:
            seconds = (time.monotonic() - self._started) / (_ANNOUNCE_AFTER - 1)
            if seconds * self._total > _ANNOUNCE_FROM:
                tqdm.write(
                    f"{self._who}Training takes about {_duration(seconds * self._total)} on this CPU: "
                    f"{self._total} steps of {seconds:.2g} s, {torch.get_num_threads()} threads.",
                    file=sys.stderr,
                )

    def show(self, rows: Rows, val_loss: float) -> None:
        """Show the last flushed step and the last validation."""
        if len(rows):
            self._bar.set_description(f"{self._who}epoch {int(rows['epoch'][-1]) + 1}/{self._epochs}", refresh=False)
            norm = f"{rows['grad_norm_preclip'][-1]:.3g}"
            values = {"loss": f"{rows['loss'][-1]:.4f}", "grad_norm": norm, "val": f"{val_loss:.4f}"}
            self._bar.set_postfix(values | self._verdict, refresh=False)

    def epoch(self, epoch: int, train_loss: float, val_loss: float, grad_norm: float) -> None:
        """In a log file: one line at the end of an epoch, with the time left."""
        if self._bar.disable:
            left = (time.monotonic() - self._begun) * (self._epochs - epoch) / epoch
            words = [f"{self._who}epoch {epoch}/{self._epochs}", f"loss {train_loss:.4f}", f"val {val_loss:.4f}"]
            words += [f"grad norm {grad_norm:.3g}", *(f"verdict {word}" for word in self._verdict.values())]
            line = ", ".join(words) + f"; {_duration(left)} left\n"
            print(line, end="", file=sys.stderr, flush=True)  # In one piece: other threads print as well.

    def judge(self, verdict: VerdictName) -> None:
        """Show from now on what the verdict would be if the training ended here."""
        self._verdict = {"verdict": _WORDS.get(verdict, verdict)}

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Close the bar."""
        self._bar.close()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Close the bar where it stands."""
        if hasattr(self, "_bar"):
            self._bar.close()


def _duration(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 60 else f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
