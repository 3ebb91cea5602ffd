"""When a bad end state began, to the step, and which spike came before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from .spike_events import Spikes
from .trace import Column, Rows

SMOOTHING = 9
"""Steps over which a batch signal is smoothed by its median: one odd batch must not end a state."""
TRIGGER_EPOCHS = 2
"""A spike this many epochs before the onset may have triggered it."""


@dataclass(frozen=True)
class Trigger:
    """The spike before an onset."""

    step: int
    series: str
    """Trace column."""
    value: float
    sigmas: float


def smoothed(values_T: Column) -> NDArray[np.float64]:
    """Running median; a missing value repeats the one before it."""
    values = np.asarray(values_T, np.float64)
    known = np.isfinite(values)
    if not known.any():
        return values
    last_known = np.maximum.accumulate(np.where(known, np.arange(len(values)), np.argmax(known)))
    return median_filter(values[last_known], SMOOTHING, mode="nearest")


def onset(holds_T: NDArray[np.bool_] | None, validations: Sequence[tuple[int, bool]]) -> int:
    """First step after which a state holds until the end.

    Validations bracket it: it began after the last one that did not show the state and not after the next one, which
    did. Within the bracket the batches decide; without them the bracket's end is all that is known.

    Args:
        holds_T: whether the batch of each step shows the state; None where batches cannot tell.
        validations: (steps taken, whether the validation shows the state) in order; the last one does.
    """
    negative = [k for k, (_, shows) in enumerate(validations) if not shows]
    first = negative[-1] + 1 if negative else 0
    low, high = (validations[first - 1][0] if first else 0), validations[first][0]
    if holds_T is None:
        return high
    gaps = np.flatnonzero(~holds_T[low:high])
    return low + int(gaps[-1]) + 1 if gaps.size else low


def trigger(begun: int, rows: Rows, spikes: dict[str, Spikes]) -> Trigger | None:
    """The largest spike of any series in the epochs before an onset, and at it."""
    steps_per_epoch = int(np.count_nonzero(rows["epoch"] == 0))
    found = [
        Trigger(event.step, series, event.value, event.sigmas)
        for series, of in spikes.items()
        for event in of.events
        if begun - TRIGGER_EPOCHS * steps_per_epoch <= event.step <= begun
    ]
    return max(found, key=lambda spike: spike.sigmas, default=None)
