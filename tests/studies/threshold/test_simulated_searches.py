"""Searches of curves that are known: what they cost and how often their intervals hold the truth."""

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from ptycho_mlf.studies.threshold.next_rate import next_rate
from ptycho_mlf.studies.threshold.stopping import reason_to_stop
from ptycho_mlf.studies.threshold.threshold import fit_threshold

_SPEC = importlib.util.spec_from_file_location(
    "threshold_benchmark", Path(__file__).parents[3] / "benchmarks" / "threshold.py"
)
benchmark = importlib.util.module_from_spec(_SPEC)
sys.modules["threshold_benchmark"] = benchmark  # Where its dataclasses look for their names.
_SPEC.loader.exec_module(benchmark)


def coverage_and_median(k, repetitions, seed):
    ended, truth = benchmark.simulate(k, "adaptive", repetitions, seed)
    held = sum(one.low <= x <= one.high for one, x in zip(ended, truth, strict=True))
    return held, float(np.median([one.runs for one in ended])), (1.96 / 0.1) ** 2 * 4 / k**2


def test_a_small_sample_of_searches_is_cheap_and_holds_the_truth():
    held, runs, bound = coverage_and_median(8.0, repetitions=40, seed=1)
    # Fewer would come of a coverage of 92 % in one of a thousand samples.
    assert held >= binom.ppf(0.001, 40, 0.92)
    # The quartiles lie 30 % to either side, so the median of 40 is known to 6 %.
    assert runs <= 1.8 * bound * 1.15


@pytest.mark.long
@pytest.mark.parametrize("k", [3.0, 5.0, 8.0])
def test_400_searches_cost_at_most_1_8_times_the_bound_and_hold_the_truth(k):
    held, runs, bound = coverage_and_median(k, repetitions=400, seed=0)
    assert 0.92 <= held / 400 <= 0.98
    assert runs <= 1.8 * bound


def test_the_benchmark_searches_as_the_product_does():
    """The lock-step version in single precision ends like one search after the other."""
    k, truth, runs = 8.0, -3.4, []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        rates, crashes, reason = [], [], None
        while reason is None:
            rates.append(next_rate(rates, crashes, [], 1e-5, 1e-2))
            crashes.append(bool(rng.random() < 1 / (1 + math.exp(-k * (math.log10(rates[-1]) - truth)))))
            if len(rates) % 4 == 0:
                threshold = fit_threshold(rates, crashes, 1e-5, 1e-2)
                reason = reason_to_stop(threshold, 0.2)
        assert reason == "narrow"
        runs.append(len(rates))
    assert 16 <= np.median(runs) <= 80
