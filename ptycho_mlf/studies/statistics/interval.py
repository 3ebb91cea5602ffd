"""An interval with two ends, either of which may be open (infinite)."""

from __future__ import annotations

from typing import NamedTuple

CONFIDENCE = 0.95
"""Of every interval, unless said otherwise."""


class Interval(NamedTuple):
    """Low and high end."""

    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether the value lies outside."""
        return not self.low <= value <= self.high
