"""LR50 and LR10 of one arm: the learning rates at which one run in two and one in ten crash, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from math import inf, isfinite, log10
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..statistics.interval import Interval
from ..statistics.proportion import Proportion, wilson
from .logistic import LOGIT_10, Counts, Curve, Floats, fit_curve, position_interval, slope_interval

Bound = Literal["none", "all_survive", "all_crash", "above", "below", "not_rising"]
"""Why there is no value of LR50: every run survived or crashed, the fit lies above or below the range, or the
crashes do not rise with the rate."""

Flags = NDArray[np.bool_]

HALF, TENTH = 0.5, 0.1
OPEN = Interval(0.0, inf)
BINS = 6


@dataclass(frozen=True)
class Bin:
    """Outcomes at neighbouring learning rates."""

    low: float
    high: float
    crashes: Proportion


@dataclass(frozen=True)
class Threshold:
    """Learning rates; an interval's open end is 0 or infinity, a value that lies outside the range is None."""

    low: float
    high: float
    """The range that was searched."""
    runs: int
    crashes: int
    bound: Bound
    lr50: float | None
    lr50_interval: Interval
    lr10: float | None
    lr10_interval: Interval
    slope: float | None
    """Per decade."""
    slope_interval: Interval
    bins: tuple[Bin, ...]
    """Raw counts over equal parts of the range in log10."""

    @property
    def half_width(self) -> float:
        """Half the width of LR50's interval in decades; infinite while an end is open."""
        low, high = self.lr50_interval
        return log10(high / low) / 2 if low > 0 and isfinite(high) else inf

    @property
    def rising(self) -> bool:
        """Whether the counts establish that higher rates crash more often, which the curve assumes."""
        return self.slope_interval.low > 0

    @property
    def usable(self) -> float | None:
        """The rate to use: the lower end of LR10's interval. None where the runs support none."""
        return self.lr10_interval.low or None

    def record(self) -> dict[str, Any]:
        """Everything as JSON values; open ends are null."""
        return {
            "low": self.low,
            "high": self.high,
            "runs": self.runs,
            "crashes": self.crashes,
            "bound": self.bound,
            "lr50": self.lr50,
            "lr50_interval": _closed(self.lr50_interval),
            "lr10": self.lr10,
            "lr10_interval": _closed(self.lr10_interval),
            "slope": self.slope,
            "slope_interval": [end if isfinite(end) else None for end in self.slope_interval],
            "half_width": self.half_width if isfinite(self.half_width) else None,
            "rising": self.rising,
            "use_lr": self.usable,
            "bins": [
                [part.low, part.high, part.crashes.k, part.crashes.n, *part.crashes.interval] for part in self.bins
            ],
        }


def fit_threshold(rates: Sequence[float], crashes: Sequence[bool], low: float, high: float) -> Threshold:
    """Fit the curve to the outcomes of runs with peak learning rates in [low, high].

    Without a crash, or without a survivor, there is no curve; then P is only taken to rise, so that m survivors at
    rates >= r bound P(r) from above by Wilson's limit for 0 of m (and m crashes at rates <= r from below).

    Args:
        rates: one per run; runs that count neither as crash nor as survival are left out by the caller.
        crashes: whether the run crashed.
        low: lowest rate of the search.
        high: highest.

    Raises:
        ValueError: not 0 < low < high, a rate that is not positive, or not as many rates as outcomes.
    """
    if not 0 < low < high < inf:
        raise ValueError(f"the range {low:g} to {high:g} is not positive and rising")
    if len(rates) != len(crashes):
        raise ValueError(f"{len(rates)} rates, {len(crashes)} outcomes")
    if any(not 0 < rate < inf for rate in rates):
        raise ValueError("a learning rate is not positive")
    x, crashed = np.log10(np.array(rates, float)), np.array(crashes, bool)
    outcome = _Outcome(low, high, len(x), int(crashed.sum()), _bins(x, crashed, log10(low), log10(high)))
    if outcome.crashes in (0, outcome.runs):
        return _bounded(outcome, x)
    counts = Counts.of(x, crashed)
    if len(counts.x) == 1:
        return _without_curve(outcome, "not_rising", OPEN, OPEN)
    return _fitted(outcome, counts)


@dataclass(frozen=True)
class _Outcome:
    """What is known before anything is fitted."""

    low: float
    high: float
    runs: int
    crashes: int
    bins: tuple[Bin, ...]


def _fitted(outcome: _Outcome, counts: Counts) -> Threshold:
    curve = fit_curve(counts)
    slopes = slope_interval(counts, curve)
    if curve.slope <= 0:
        return replace(_without_curve(outcome, "not_rising", OPEN, OPEN), slope=curve.slope, slope_interval=slopes)
    (lr50, interval50), (lr10, interval10) = (_position(outcome, counts, curve, level) for level in (0.0, LOGIT_10))
    bound: Bound = "none" if lr50 else "above" if curve.x50 > log10(outcome.high) else "below"
    return replace(
        _without_curve(outcome, bound, interval50, interval10),
        lr50=lr50,
        lr10=lr10,
        slope=curve.slope,
        slope_interval=slopes,
    )


def _position(outcome: _Outcome, counts: Counts, curve: Curve, level: float) -> tuple[float | None, Interval]:
    """The rate where P has this logit, if it lies in the range; its interval reaches one range further on each side."""
    a, b = log10(outcome.low), log10(outcome.high)
    at = curve.position(level)
    ends = position_interval(counts, curve, level, 2 * a - b, 2 * b - a)
    return 10**at if a <= at <= b else None, Interval(10**ends.low, 10**ends.high)


def _bounded(outcome: _Outcome, x: Floats) -> Threshold:
    if outcome.crashes == 0:
        ends = [_nth(-x, _survivors_below(share)) for share in (HALF, TENTH)]
        return _without_curve(outcome, "all_survive", *(Interval(10**-end, inf) for end in ends))
    ends = [_nth(x, _crashes_above(share)) for share in (HALF, TENTH)]
    return _without_curve(outcome, "all_crash", *(Interval(0.0, 10**end) for end in ends))


def _without_curve(outcome: _Outcome, bound: Bound, lr50_interval: Interval, lr10_interval: Interval) -> Threshold:
    return Threshold(
        low=outcome.low,
        high=outcome.high,
        runs=outcome.runs,
        crashes=outcome.crashes,
        bound=bound,
        lr50=None,
        lr50_interval=lr50_interval,
        lr10=None,
        lr10_interval=lr10_interval,
        slope=None,
        slope_interval=Interval(-inf, inf),
        bins=outcome.bins,
    )


def _bins(x: Floats, crashed: Flags, a: float, b: float) -> tuple[Bin, ...]:
    edges = [float(edge) for edge in np.linspace(a, b, BINS + 1)]
    where = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, BINS - 1)
    return tuple(
        Bin(10 ** edges[i], 10 ** edges[i + 1], wilson(int(crashed[where == i].sum()), int((where == i).sum())))
        for i in range(BINS)
    )


def _survivors_below(share: float) -> int:
    """How many survivors without a crash put Wilson's upper limit below this share."""
    return next(n for n in count(1) if wilson(0, n).interval.high < share)


def _crashes_above(share: float) -> int:
    """How many crashes without a survivor put Wilson's lower limit above this share."""
    return next(n for n in count(1) if wilson(n, n).interval.low > share)


def _nth(x: Floats, n: int) -> float:
    """The n-th smallest; infinite where there are fewer."""
    return float(np.sort(x)[n - 1]) if len(x) >= n else inf


def _closed(interval: Interval) -> list[float | None]:
    return [end if 0 < end < inf else None for end in interval]
