"""What a threshold says, in sentences: the finding, what to doubt about it, the rate to use."""

from __future__ import annotations

from itertools import combinations
from math import floor, isfinite, log10

from ..statistics.interval import Interval
from .threshold import Threshold


def sentences(threshold: Threshold) -> list[str]:
    """The finding first, the advice last."""
    return [finding(threshold), *doubts(threshold), advice(threshold)]


def finding(threshold: Threshold) -> str:
    """LR50 and LR10 with their intervals, or the bounds that are known."""
    searched = f"rates from {threshold.low:.2g} to {threshold.high:.2g}"
    counts = f"{threshold.crashes} of {threshold.runs} runs crashed at {searched}"
    if threshold.bound == "not_rising":
        return f"{counts}, and not more often at higher rates: there is no threshold to tell."
    return (
        f"{counts}: {_quantity('LR50', threshold.lr50, threshold.lr50_interval)}, "
        f"{_quantity('LR10', threshold.lr10, threshold.lr10_interval)}."
    )


def doubts(threshold: Threshold) -> list[str]:
    """Where the curve is not what the counts show."""
    found: list[str] = []
    if threshold.slope is not None and not threshold.rising:
        low, high = threshold.slope_interval
        found.append(
            "A crash probability that rises with the rate is assumed, not shown: "
            f"the slope is {low:.2g} to {high:.2g} per decade."
        )
    for lower, higher in combinations(threshold.bins, 2):
        if lower.crashes.interval.low > higher.crashes.interval.high:
            found.append(
                "The counts contradict a crash probability that rises with the rate: "
                f"{lower.crashes.k} of {lower.crashes.n} crashed between {lower.low:.2g} and {lower.high:.2g}, "
                f"{higher.crashes.k} of {higher.crashes.n} between {higher.low:.2g} and {higher.high:.2g}."
            )
    if threshold.usable and threshold.usable < threshold.low:
        found.append(f"LR10's interval reaches below {threshold.low:.2g}, where nothing was run.")
    return found


def advice(threshold: Threshold) -> str:
    """The rate to use, rounded down."""
    if threshold.usable is None:
        return "These runs support no rate with less than one crash in ten."
    return f"use lr <= {rounded_down(threshold.usable):.2g}"


def rounded_down(rate: float) -> float:
    """The largest number of two digits that is not above the rate."""
    unit = 10.0 ** (floor(log10(rate)) - 1)
    # A rate that has two digits already must not lose one to the division's rounding.
    return floor(rate / unit * (1 + 1e-12)) * unit


def _quantity(name: str, value: float | None, interval: Interval) -> str:
    low, high = interval
    if low > 0 and isfinite(high):
        between = f"{low:.2g} to {high:.2g}" if value else f"{low:.2g} < {name} < {high:.2g}"
    elif low > 0:
        between = f"{name} > {low:.2g}"
    elif isfinite(high):
        between = f"{name} < {high:.2g}"
    else:
        between = "no bound known" if value else f"{name} unknown"
    return f"{name} = {value:.2g} ({between})" if value else between
