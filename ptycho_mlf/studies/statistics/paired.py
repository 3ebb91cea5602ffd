"""Two arms on the same seeds: what one seed did in both.

Exact McNemar test: Q. McNemar, Psychometrika 12 (1947) 153. Signed ranks: F. Wilcoxon, Biometrics 1 (1945) 80.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, quantile_test, wilcoxon

from .interval import CONFIDENCE, Interval


@dataclass(frozen=True)
class PairedCrashes:
    """Shared seeds by what happened in each arm, and the p value of "both crash equally often"."""

    both: int
    only_first: int
    only_second: int
    neither: int
    p_value: float

    @property
    def n(self) -> int:
        """Shared seeds."""
        return self.both + self.only_first + self.only_second + self.neither


def paired_crashes(first: Mapping[int, bool], second: Mapping[int, bool]) -> PairedCrashes:
    """Exact two-sided McNemar test over the shared seeds; seeds of one arm only are left out.

    Args:
        first: seed to whether it crashed.
        second: the same for the other arm.
    """
    seeds = sorted(first.keys() & second.keys())
    counts = {(a, b): 0 for a in (True, False) for b in (True, False)}
    for seed in seeds:
        counts[first[seed], second[seed]] += 1
    only_first, only_second = counts[True, False], counts[False, True]
    discordant = only_first + only_second
    p_value = float(binomtest(only_first, discordant).pvalue) if discordant else 1.0
    return PairedCrashes(counts[True, True], only_first, only_second, counts[False, False], p_value)


@dataclass(frozen=True)
class PairedValues:
    """First minus second over shared seeds, and the p value of "the differences lie around 0"."""

    n: int
    left_out: int
    """Shared seeds without a finite value in one of the arms: a crash may be the reason, so it is said."""
    median: float | None
    interval: Interval
    """Of the median, from order statistics alone; an end is infinite where too few seeds bound it (below 6)."""
    p_value: float


def paired_values(
    first: Mapping[int, float], second: Mapping[int, float], confidence: float = CONFIDENCE
) -> PairedValues:
    """Wilcoxon's signed-rank test and the median difference over the shared seeds.

    Args:
        first: seed to value.
        second: the same for the other arm.
        confidence: of the interval.
    """
    shared = first.keys() & second.keys()
    seeds = sorted(s for s in shared if math.isfinite(first[s]) and math.isfinite(second[s]))
    d_S = np.array([first[seed] - second[seed] for seed in seeds])
    left_out = len(shared) - len(seeds)
    if not seeds:
        return PairedValues(0, left_out, None, Interval(-math.inf, math.inf), 1.0)
    found = quantile_test(d_S).confidence_interval(confidence)
    # scipy says NaN where no order statistic bounds the median.
    low, high = (bound if math.isnan(v) else float(v) for v, bound in ((found.low, -math.inf), (found.high, math.inf)))
    return PairedValues(len(seeds), left_out, float(np.median(d_S)), Interval(low, high), _signed_ranks(d_S))


def _signed_ranks(d_S: np.ndarray) -> float:
    nonzero = d_S[d_S != 0]
    if nonzero.size == 0:
        return 1.0
    _, p_value = np.asarray(wilcoxon(nonzero))
    return float(p_value)
