"""Thinning a series loses no maximum."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho_mlf.telemetry.buckets import POINTS, Buckets


@settings(derandomize=True, deadline=None, max_examples=60)
@given(total=st.integers(1, 5000), piece=st.integers(1, 700), seed=st.integers(0, 9))
def test_every_bucket_keeps_its_maximum_and_median(total: int, piece: int, seed: int):
    values = np.random.default_rng(seed).lognormal(size=total)
    buckets = Buckets(total)
    points = []
    for start in range(0, total, piece):
        steps = np.arange(start, min(start + piece, total))
        points += buckets.add(steps, values[steps])
    points += buckets.close()
    length = math.ceil(total / POINTS)
    assert len(points) <= POINTS
    for point, start in zip(points, range(0, total, length), strict=True):
        own = values[start : start + length]
        assert point.maximum == own.max() == values[point.step_of_max]
        assert point.median == np.median(own)
        assert point.last_step == start + len(own) - 1


def test_a_nan_is_seen():
    (point,) = Buckets(2 * POINTS).add(np.array([0, 1]), np.array([np.nan, 5.0]))
    assert point.step_of_max == 0
    assert np.isnan(point.maximum)
