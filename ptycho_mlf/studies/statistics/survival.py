"""Time to failure with censoring: runs that survive count up to their last step.

E. L. Kaplan, P. Meier, J. Am. Stat. Assoc. 53 (1958) 457; band by Greenwood's variance of log(-log S).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import CensoredData, ecdf

from .interval import CONFIDENCE


@dataclass(frozen=True)
class Life:
    """How long one run held."""

    steps: float
    """Step of the onset of the crash, or the last step of a run that survived."""
    failed: bool


@dataclass(frozen=True)
class SurvivalCurve:
    """S after each step at which something failed or ended, in order, with a pointwise confidence band.

    The band is NaN where there is none: before the first failure, and from where S is 0.
    """

    steps: tuple[float, ...]
    survival: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    runs: int
    failures: int

    def time_to(self, share_failed: float) -> float | None:
        """First step at which at least this share has failed; None where that is not reached."""
        # Kaplan-Meier products of fractions: 1/4 may come out as 0.25000000000000006.
        reached = (s for s, left in zip(self.steps, self.survival, strict=True) if left <= 1 - share_failed + 1e-12)
        return next(reached, None)

    @property
    def median(self) -> float | None:
        """Step at which half have failed."""
        return self.time_to(0.5)

    @property
    def quartiles(self) -> tuple[float | None, float | None]:
        """Steps at which a quarter and three quarters have failed."""
        return self.time_to(0.25), self.time_to(0.75)

    def summary(self) -> str:
        """`median 120 steps (quartiles 80 to not reached), 3 of 5 failed`."""
        shown = ["not reached" if t is None else f"{t:g}" for t in (self.median, *self.quartiles)]
        unit = "" if self.median is None else " steps"
        return f"median {shown[0]}{unit} (quartiles {shown[1]} to {shown[2]}), {self.failures} of {self.runs} failed"


def kaplan_meier(lives: Sequence[Life], confidence: float = CONFIDENCE) -> SurvivalCurve:
    """The survival curve of one cell.

    Raises:
        ValueError: no run.
    """
    if not lives:
        raise ValueError("a survival curve needs at least one run")
    estimate = ecdf(_censored(lives)).sf
    failures = sum(life.failed for life in lives)
    blank = np.full(estimate.quantiles.size, math.nan)
    low, high = blank, blank
    if failures:
        # scipy warns that log(-log S) is undefined at S = 1 and S = 0: there is no band there.
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            band = estimate.confidence_interval(confidence, method="log-log")
        inside = (estimate.probabilities > 0) & (estimate.probabilities < 1)
        low = np.where(inside, band.low.probabilities, math.nan)
        high = np.where(inside, band.high.probabilities, math.nan)
    columns = (estimate.quantiles, estimate.probabilities, low, high)
    return SurvivalCurve(*(tuple(map(float, column)) for column in columns), runs=len(lives), failures=failures)


def _censored(lives: Sequence[Life]) -> CensoredData:
    return CensoredData.right_censored([life.steps for life in lives], [not life.failed for life in lives])
