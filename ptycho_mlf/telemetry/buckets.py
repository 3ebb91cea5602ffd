"""Thin a long series for display so that no spike is lost: every bucket keeps its maximum and its median."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from .trace import Column

POINTS = 1000
"""Most points per series that a tracking store is given."""


@dataclass(frozen=True)
class Point:
    """One bucket: the maximum at the step where it was reached, and the median at the bucket's last step."""

    step_of_max: int
    maximum: float
    last_step: int
    median: float


@dataclass
class Buckets:
    """Collects a series of `total` steps into at most `POINTS` buckets of equal length.

    NaN counts as the maximum of its bucket, so that it is seen too.
    """

    total: int
    _steps: list[int] = field(default_factory=list[int])
    _values: list[float] = field(default_factory=list[float])

    @property
    def length(self) -> int:
        """Steps per bucket."""
        return max(1, math.ceil(self.total / POINTS))

    def add(self, steps: Column, values: Column) -> list[Point]:
        """Add consecutive steps; returns the buckets they complete."""
        self._steps += steps.tolist()
        self._values += values.tolist()
        return self._take(len(self._steps) // self.length, self.length)

    def close(self) -> list[Point]:
        """The last, partial bucket, if any."""
        return self._take(1, len(self._steps)) if self._steps else []

    def _take(self, count: int, length: int) -> list[Point]:
        """The first `count` buckets, all at once."""
        steps, values = (np.array(x[: count * length]).reshape(count, length) for x in (self._steps, self._values))
        del self._steps[: count * length], self._values[: count * length]
        if not count:
            return []
        top = np.where(np.isnan(values), np.inf, values).argmax(1)
        rows = np.arange(count)
        columns = (steps[rows, top], values[rows, top], steps[:, -1], np.median(values, axis=1))
        return [Point(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
