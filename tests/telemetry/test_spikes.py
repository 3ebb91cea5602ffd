"""The rule of spikes against values worked out by hand."""

from __future__ import annotations

import numpy as np

from ptycho_mlf.telemetry.spikes import median_and_sigma, spike_steps

# Median 2, MAD 1: the bound is 2 + 7 * 1.4826 = 12.3782.
BEFORE = [1.0, 2.0, 3.0, 1.0, 3.0] * 10


def test_the_bound():
    assert median_and_sigma(BEFORE) == (2.0, 1.4826)
    assert spike_steps([*BEFORE, 12.37]).tolist() == []
    assert spike_steps([*BEFORE, 12.38]).tolist() == [50]
    assert spike_steps([*BEFORE, np.inf]).tolist() == [50]
    assert spike_steps([*BEFORE, np.nan]).tolist() == []


def test_fifty_steps_are_needed_and_a_thousand_are_looked_at():
    assert spike_steps([*BEFORE[1:], 1e9]).tolist() == []
    long_ago = [100.0] * 3000
    assert spike_steps([*long_ago, *BEFORE * 20, 13.0]).tolist() == [4000]
    assert spike_steps([*long_ago, *BEFORE * 9, 13.0], start=3450).tolist() == []


def test_values_that_are_not_finite_are_not_looked_back_on():
    assert spike_steps([*BEFORE, np.inf, np.nan, 12.38])[-1] == 52
