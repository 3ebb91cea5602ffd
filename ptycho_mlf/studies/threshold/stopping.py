"""When enough is known about a threshold."""

from __future__ import annotations

from typing import Literal

from .threshold import Threshold

Reason = Literal["narrow", "outside"]

END_SHARE = 0.03
"""A bound within this share of an end of the range is a bound at that end (0.013 decades)."""


def reason_to_stop(threshold: Threshold, width: float) -> Reason | None:
    """Why no further run is needed; None while one is.

    `narrow`: the 95 % interval of LR50 is at most `width` decades wide. `outside`: it lies above or below the range
    that is searched, where more runs could not find it.
    """
    low, high = threshold.lr50_interval
    if 2 * threshold.half_width <= width:
        return "narrow"
    if low >= threshold.high * (1 - END_SHARE) or high <= threshold.low * (1 + END_SHARE):
        return "outside"
    return None
