"""Spike events against the definition, written out with numpy."""

from __future__ import annotations

import numpy as np
import pytest

from ptycho_mlf.telemetry.spike_events import find_spikes


def test_events_and_score_are_the_definition():
    series = np.random.default_rng(1).lognormal(size=1300)
    series[[60, 700, 1250]] *= 400
    expected = []
    for t in range(50, 1300):
        before = series[max(0, t - 1000) : t]
        median = np.median(before)
        sigma = 1.4826 * np.median(np.abs(before - median))
        if series[t] > median + 7 * sigma:
            expected.append((t, (series[t] - median) / sigma))
    found = find_spikes(series)
    assert len(expected) > 3
    assert [spike.step for spike in found.events] == [t for t, _ in expected]
    np.testing.assert_allclose([spike.sigmas for spike in found.events], [s for _, s in expected])
    assert found.score == pytest.approx(100 * len(expected) / 1250)


def test_short_broken_and_constant_series():
    assert find_spikes(np.full(50, 1.0)).score is None
    assert find_spikes(np.full(80, 1.0)).score == 0
    series = np.full(80, 1.0)
    series[70] = np.inf
    assert find_spikes(series).score == 0
    series[60] = 2.0
    (spike,) = find_spikes(series).events
    assert (spike.step, spike.sigmas) == (60, pytest.approx(1e6))
