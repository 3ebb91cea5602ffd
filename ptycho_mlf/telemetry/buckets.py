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
        done: list[Point] = []
        while len(self._steps) >= self.length:
            done.append(self._take(self.length))
        return done

    def close(self) -> list[Point]:
        """The last, partial bucket, if any."""
        return [self._take(len(self._steps))] if self._steps else []

    def _take(self, count: int) -> Point:
        steps, values = self._steps[:count], np.array(self._values[:count])
        del self._steps[:count], self._values[:count]
        top = int(np.argmax(np.where(np.isnan(values), np.inf, values)))
        return Point(steps[top], float(values[top]), steps[-1], float(np.median(values)))
