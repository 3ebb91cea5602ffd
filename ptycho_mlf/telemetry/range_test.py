"""The learning rate range test: one short training with a rising rate, as a hint where to search.

L. N. Smith, WACV (2017), arXiv:1506.01186. The rate at which a ramp diverges is not a threshold: the network has
trained at all lower rates before, as in a warm-up. So it says where a search begins, never where it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EXPLODED = 4.0
"""A smoothed loss this many times the best so far has diverged."""
MEMORY = 0.9
"""Of the running mean over steps that smooths the losses."""
WINDOW = 0.5
"""Decades over which a descent is fitted by a straight line."""


@dataclass(frozen=True)
class RangeTest:
    """Rates in rising order."""

    steepest: float | None
    """Middle of the half decade over which the loss fell most, before it diverged; None where it never fell."""
    diverged: float | None
    """The first rate at which it was more than four times its best, or not finite; None where it never was."""


def range_test(rates: Sequence[float] | Floats, losses: Sequence[float] | Floats) -> RangeTest:
    """Read a ramp off.

    Args:
        rates: rising, one per step.
        losses: of the batches, which may end in values that are not finite.

    Raises:
        ValueError: fewer than two steps, not as many rates as losses, or rates that do not rise from above 0.
    """
    rate_T, loss_T = np.array(rates, float), np.array(losses, float)
    if len(rate_T) != len(loss_T) or len(rate_T) < 2:
        raise ValueError(f"{len(rate_T)} rates and {len(loss_T)} losses are no range test")
    if rate_T[0] <= 0 or np.any(np.diff(rate_T) <= 0):
        raise ValueError("the rates of a range test rise from above 0")
    finite = np.isfinite(loss_T)
    end = len(loss_T) if finite.all() else int(np.argmin(finite))
    smooth_T = smoothed(loss_T[:end])
    exploded = np.flatnonzero(smooth_T > EXPLODED * np.minimum.accumulate(smooth_T))
    if len(exploded):
        end = int(exploded[0])
    diverged = float(rate_T[end]) if end < len(rate_T) else None
    return RangeTest(_steepest(np.log10(rate_T[:end]), loss_T[:end]), diverged)


def _steepest(x_T: Floats, loss_T: Floats) -> float | None:
    """The rate in the middle of the window whose least-squares line falls most."""
    if len(x_T) < 3:
        return None
    width = min(max(round(WINDOW / float(np.diff(x_T).mean())), 3), len(x_T))
    x_WT, loss_WT = sliding_window_view(x_T, width), sliding_window_view(loss_T, width)
    middle_W = x_WT.mean(1)
    away_WT = x_WT - middle_W[:, None]
    slope_W = (away_WT * (loss_WT - loss_WT.mean(1, keepdims=True))).sum(1) / (away_WT**2).sum(1)
    best = int(np.argmin(slope_W))
    return float(10 ** middle_W[best]) if slope_W[best] < 0 else None


def smoothed(loss_T: Floats) -> Floats:
    """Running mean with exponential weights, corrected for its start."""
    mean, out = 0.0, np.empty_like(loss_T)
    for step, loss in enumerate(loss_T):
        mean = MEMORY * mean + (1 - MEMORY) * loss
        out[step] = mean / (1 - MEMORY ** (step + 1))
    return out
