"""Median and quartiles over all seeds and over survivors: survivors alone would flatter an arm that crashes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Spread:
    """Quartiles of n runs; None without a run. Infinite where a run without a number decides."""

    n: int
    median: float | None
    q25: float | None
    q75: float | None


@dataclass(frozen=True)
class SeedSpread:
    """The same value over all seeds and over those that did not crash."""

    all: Spread
    survivors: Spread
    without_value: int
    """Seeds without a finite value; they count as the worst there is, over all as over survivors."""


def spread(values: Sequence[float]) -> Spread:
    """Quartiles by linear interpolation between order statistics; infinite values are ordered like any other.

    Raises:
        ValueError: a NaN.
    """
    ordered_S = np.sort(np.asarray(values, dtype=float))
    if np.isnan(ordered_S).any():
        raise ValueError("a NaN has no place among the order statistics")
    if ordered_S.size == 0:
        return Spread(0, None, None, None)
    q25, median, q75 = (_quantile(ordered_S, share) for share in (0.25, 0.5, 0.75))
    return Spread(ordered_S.size, median, q25, q75)


def spread_over_seeds(
    values: Sequence[float | None], crashed: Sequence[bool], *, better: Literal["higher", "lower"]
) -> SeedSpread:
    """Quartiles over all seeds and over survivors.

    Args:
        values: one a seed; None or not finite where a run left no number.
        crashed: whether that seed crashed.
        better: which way is better, so that a missing number can count as the worst.

    Raises:
        ValueError: unequal lengths.
    """
    worst = -math.inf if better == "higher" else math.inf
    full = [v if v is not None and math.isfinite(v) else worst for v in values]
    survivors = [value for value, lost in zip(full, crashed, strict=True) if not lost]
    missing = sum(math.isinf(value) for value in full)
    return SeedSpread(spread(full), spread(survivors), missing)


def _quantile(ordered_S: np.ndarray, share: float) -> float:
    # Not np.quantile: next to an infinite neighbour its interpolation may be NaN.
    place = share * (ordered_S.size - 1)
    below, above = (float(ordered_S[i]) for i in (math.floor(place), math.ceil(place)))
    if below == above or math.isinf(below):
        return below
    return below + (place - math.floor(place)) * (above - below)
