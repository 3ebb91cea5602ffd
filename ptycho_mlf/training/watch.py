"""The verdict while a training runs: shown after every validation, and a reason to end it."""

from __future__ import annotations

from collections.abc import Sequence

from ptycho_mlf.config import RunConfig
from ptycho_mlf.telemetry.course import Course
from ptycho_mlf.telemetry.signals import References, Signals
from ptycho_mlf.telemetry.trace import Rows
from ptycho_mlf.telemetry.verdict import is_final, running_verdict
from ptycho_mlf.telemetry.verdict_names import VerdictName


class Watch:
    """Judges what there is so far."""

    def __init__(self, config: RunConfig, references: References) -> None:
        self._references = references
        self._loss_is_mae = config.training.loss == "mae"
        self._stops = config.telemetry.stop_on == "collapse"
        self.initial: Signals | None = None
        """Validation before the first step."""

    def look(self, rows: Rows, validations: Sequence[Signals]) -> tuple[VerdictName, bool]:
        """The verdict so far, and whether to end the training on it."""
        course = Course(rows, self.initial, validations, self._references, self._loss_is_mae)
        return running_verdict(course), self._stops and is_final(course)
