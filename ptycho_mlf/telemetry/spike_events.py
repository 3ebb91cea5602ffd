"""Spike events of a whole series, with their size, and the spike score: how many there are per step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .spikes import LEAST, WINDOW, median_and_sigma, spike_steps

_RESOLUTION = 1e-6
"""Smallest sigma, relative to the median: a series that stands still is known to single precision only."""


@dataclass(frozen=True)
class Spike:
    """One event."""

    step: int
    value: float
    median: float
    """Of the steps before."""
    sigmas: float
    """How far above that median."""


@dataclass(frozen=True)
class Spikes:
    """All events of a series."""

    events: list[Spike]
    eligible: int
    """Steps that had enough steps before them."""

    @property
    def score(self) -> float | None:
        """Spikes per eligible step, in %; None for a series too short to tell."""
        return 100 * len(self.events) / self.eligible if self.eligible else None


def find_spikes(values_T: NDArray[np.float64]) -> Spikes:
    """The spikes of a series with one finite value per step from step 0 on; it is cut at the first that is not."""
    broken = np.flatnonzero(~np.isfinite(values_T))
    values_T = values_T[: broken[0]] if broken.size else values_T
    events: list[Spike] = []
    for step in spike_steps(values_T).tolist():
        median, sigma = median_and_sigma(values_T[max(0, step - WINDOW) : step])
        value = float(values_T[step])
        sigmas = (value - median) / max(sigma, _RESOLUTION * abs(median), np.finfo(float).tiny)
        events.append(Spike(step, value, median, sigmas))
    return Spikes(events, max(0, len(values_T) - LEAST))
