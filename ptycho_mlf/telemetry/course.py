"""One training as it was recorded: what a verdict is given on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .end_state import FLOOR_SHARE, EndState, bound, end_state
from .signals import References, Signals
from .spike_events import Spikes, find_spikes
from .trace import Rows
from .verdict_onset import smoothed

FALLEN = 0.1
"""Contrast below this share of the initial one has fallen: that of a slow learner only dips before it rises."""


@dataclass(frozen=True)
class Course:
    """Everything that was seen of one training."""

    rows: Rows
    initial: Signals | None
    """Before the first step."""
    validations: Sequence[Signals]
    """At the epoch ends, in order; the last one is that of the last weights."""
    references: References
    loss_is_mae: bool = True
    """Whether the trace's loss is comparable with the floor."""

    @cached_property
    def spikes(self) -> dict[str, Spikes]:
        """Of loss and gradient norm, by trace column."""
        return {name: find_spikes(np.asarray(self.rows[name], np.float64)) for name in ("loss", "grad_norm_preclip")}

    @property
    def nonfinite_step(self) -> int | None:
        """First step whose loss, gradient norm or update is not finite, or steps before such a validation."""
        finite = np.isfinite(self.rows["loss"]) & np.isfinite(self.rows["grad_norm_preclip"])
        # An update ratio that is no number was not measured.
        broken = np.flatnonzero(~finite | np.isinf(self.rows["update_ratio"]))
        if broken.size:
            return int(self.rows["step"][broken[0]])
        return next((seen.step for seen in self.validations if not math.isfinite(seen.loss)), None)

    def best(self, count: int | None = None) -> float:
        """The smallest validation loss of the first `count` validations."""
        return min(seen.loss for seen in self.validations[:count])

    def states(self) -> list[EndState]:
        """The state at every validation, judged by what was known then."""
        return [end_state(seen, self.best(k), self.references) for k, seen in enumerate(self.validations, start=1)]

    def not_begun(self) -> bool:
        """It still is as flat as an untrained network is: nothing was learned, and nothing has collapsed.

        The contrast never rose above the bounds, in no batch and no validation, and did not fall below that of the
        initial weights either.
        """
        if self.initial is None:
            return False
        seen = self.validations[-1]
        fell = seen.spatial < FALLEN * self.initial.spatial
        fell |= seen.cross_pattern < FALLEN * self.initial.cross_pattern
        return not fell and not self.ever_structured() and self.best() > FLOOR_SHARE * self.references.floor

    def ever_structured(self) -> bool:
        """Whether some validation, or the batches around some step, had amplitude contrast of both kinds."""
        flat, same = bound(self.references.spatial), bound(self.references.cross_pattern)
        batches = (smoothed(self.rows["contrast_spatial"]) > flat) & (
            smoothed(self.rows["contrast_cross_pattern"]) > same
        )
        return bool(batches.any()) or any(s.spatial > flat and s.cross_pattern > same for s in self.validations)
