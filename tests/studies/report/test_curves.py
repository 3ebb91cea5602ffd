"""Traces in buckets, and bands over runs: spikes and infinities are never averaged away."""

from __future__ import annotations

import numpy as np
import pytest

from ptycho_mlf.studies.report.curves import POINTS, bucket_length, in_buckets, series_band, validation_band
from ptycho_mlf.studies.report.data import Validations

from .make_study import member

INF = np.inf


def series(*values: float):
    return in_buckets(np.array(values, float), 1)


def test_a_bucket_keeps_its_spike_and_its_infinity():
    found = in_buckets(np.array([1.0, 9.0, 2.0, 3.0, 3.0, 4.0, np.nan]), 3)
    assert found.high_K.tolist() == [9, 4, INF]
    assert found.low_K.tolist() == [1, 3, INF]
    assert found.median_K.tolist() == [2, 3, INF]


@pytest.mark.parametrize(("longest", "length"), [(0, 1), (300, 1), (301, 2), (100_000, 334)])
def test_no_run_has_more_points_than_allowed(longest, length):
    assert bucket_length([longest, 5]) == length
    assert len(in_buckets(np.ones(longest + 1), length)) <= POINTS + 1


def test_a_band_is_median_quartiles_and_range_of_the_runs():
    values = np.random.default_rng(1).random((7, 4))
    band = series_band([member(k, loss=in_buckets(row, 1)) for k, row in enumerate(values)], "loss", 1)
    assert band is not None
    for found, share in ((band.lower_K, 0.25), (band.median_K, 0.5), (band.upper_K, 0.75)):
        np.testing.assert_allclose(found, np.quantile(values, share, axis=0))
    np.testing.assert_array_equal(band.low_K, values.min(axis=0))
    np.testing.assert_array_equal(band.high_K, values.max(axis=0))
    assert band.step_K.tolist() == [0, 1, 2, 3]


def test_runs_that_crashed_stay_in_the_band_and_others_leave_it():
    runs = [
        member(1, loss=series(1, 1, 1, 1)),
        member(2, outcome="crashed", verdict="nonfinite", loss=series(3, np.nan)),
        member(3, outcome="crashed", verdict="flat_amplitude", loss=series(5, 5)),
        member(4, outcome="none", loss=series(2)),
    ]
    band = series_band(runs, "loss", 1)
    assert band is not None
    assert band.runs_K.tolist() == [4, 3, 3, 3]
    assert band.median_K.tolist() == [2.5, 5, 5, 5]
    assert band.high_K.tolist() == [5, INF, INF, INF]
    assert band.low_K.tolist() == [1, 1, 1, 1]
    # A quarter of the way from 1 to infinity is nowhere.
    assert band.upper_K.tolist() == [3.5, INF, INF, INF]


def test_validations_are_taken_at_the_latest_step():
    runs = [
        member(1, validations=Validations(np.array([10.0, 20]), np.array([0.4, 0.2]))),
        member(2, validations=Validations(np.array([15.0]), np.array([0.3]))),
    ]
    band = validation_band(runs)
    assert band is not None
    assert band.step_K.tolist() == [10, 15, 20]
    assert band.runs_K.tolist() == [1, 2, 1]
    assert band.median_K.tolist() == pytest.approx([0.4, 0.35, 0.2])


def test_nothing_to_show():
    assert series_band([member(1)], "loss", 1) is None
    assert validation_band([member(1)]) is None
