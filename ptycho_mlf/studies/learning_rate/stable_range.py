"""The stable range: over how many decades of learning rate an arm does about as well as at its best rate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .final_losses import FinalLosses

TOLERANCE = 0.05
"""Share of the possible gain, l0 - l*, that may be lost."""


@dataclass(frozen=True)
class StableRange:
    """The contiguous interval around the best rate in which the median loss is <= l* + 0.05 (l0 - l*)."""

    low: float
    """Lowest stable learning rate."""
    best: float
    """Learning rate of the lowest median loss, the lowest of equals."""
    high: float
    """Highest stable learning rate."""
    decades: float
    """log10(high / low); a lower bound where an end is open."""
    low_open: bool
    """The lowest rate that was tried is still stable: the end lies at or below it."""
    high_open: bool
    """The same at the highest."""


def stable_range(losses: FinalLosses) -> StableRange | None:
    """The stable range, its ends interpolated linearly in log10 of the rate; None where no rate learned anything."""
    if not losses.learned:
        return None
    bound = losses.l_star + TOLERANCE * (losses.l0 - losses.l_star)
    best = losses.l_med_R.index(losses.l_star)
    low, low_open = _end(losses, bound, range(best, -1, -1))
    high, high_open = _end(losses, bound, range(best, len(losses.x_R)))
    return StableRange(10**low, 10 ** losses.x_R[best], 10**high, high - low, low_open, high_open)


def _end(losses: FinalLosses, bound: float, outwards: Iterable[int]) -> tuple[float, bool]:
    """Where the median crosses the bound on the way outwards, in x, and whether it does not."""
    x, loss = losses.x_R, losses.l_med_R
    inside, *others = outwards
    for index in others:
        if loss[index] > bound:
            share = (bound - loss[inside]) / (loss[index] - loss[inside])
            return x[inside] + share * (x[index] - x[inside]), False
        inside = index
    return x[inside], True
