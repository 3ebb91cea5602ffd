"""Crash probabilities: Wilson's interval for one cell, Newcombe's for the difference of two.

E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209; R. G. Newcombe, Stat. Med. 17 (1998) 873, method 10.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import binomtest

from .interval import CONFIDENCE, Interval


@dataclass(frozen=True)
class Proportion:
    """k of n, with Wilson's interval; without any run nothing is known: 0 to 1, and no share."""

    k: int
    n: int
    interval: Interval

    @property
    def share(self) -> float | None:
        """k / n."""
        return self.k / self.n if self.n else None


def wilson(k: int, n: int, confidence: float = CONFIDENCE) -> Proportion:
    """k crashes of n seeds.

    Raises:
        ValueError: not 0 <= k <= n.
    """
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is no proportion")
    if n == 0:
        return Proportion(0, 0, Interval(0.0, 1.0))
    found = binomtest(k, n).proportion_ci(confidence, method="wilson")
    return Proportion(k, n, Interval(float(found.low), float(found.high)))


@dataclass(frozen=True)
class Difference:
    """Share of one cell minus share of another, with Newcombe's interval."""

    difference: float
    interval: Interval

    @property
    def established(self) -> bool:
        """Whether the interval excludes 0: only then is one cell more stable than the other."""
        return self.interval.excludes(0.0)


def newcombe(first: tuple[int, int], second: tuple[int, int], confidence: float = CONFIDENCE) -> Difference:
    """Difference of two independent proportions from their Wilson limits l, u:

    d - sqrt((p1 - l1)^2 + (u2 - p2)^2)  to  d + sqrt((u1 - p1)^2 + (p2 - l2)^2).

    Args:
        first: (k, n) of the cell that is compared.
        second: (k, n) of the cell it is compared with. Seeds must not be shared: see `paired`.
        confidence: of the interval.

    Raises:
        ValueError: not 0 <= k <= n, or no run at all in one of them.
    """
    a, b = wilson(*first, confidence), wilson(*second, confidence)
    if a.share is None or b.share is None:
        raise ValueError("a difference needs runs on both sides")
    d = a.share - b.share
    low = d - math.hypot(a.share - a.interval.low, b.interval.high - b.share)
    high = d + math.hypot(a.interval.high - a.share, b.share - b.interval.low)
    return Difference(d, Interval(low, high))
