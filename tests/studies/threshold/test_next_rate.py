import math

import numpy as np
import pytest

from ptycho_mlf.studies.threshold.next_rate import make_design, next_rate
from ptycho_mlf.studies.threshold.stopping import reason_to_stop
from ptycho_mlf.studies.threshold.threshold import fit_threshold

LOW, HIGH = 1e-5, 1e-2


def search(probability, budget=60, seed=0):
    """One run at a time over 1e-5 to 1e-2 until +-0.1 decade; `probability` of a crash at a log10 rate."""
    rng = np.random.default_rng(seed)
    rates, crashes = [], []
    while True:
        rates.append(next_rate(rates, crashes, [], LOW, HIGH))
        crashes.append(bool(rng.random() < probability(math.log10(rates[-1]))))
        threshold = fit_threshold(rates, crashes, LOW, HIGH)
        reason = reason_to_stop(threshold, 0.2)
        if reason or len(rates) == budget:
            return threshold, reason


def test_the_first_run_halves_the_range():
    assert next_rate([], [], [], LOW, HIGH) == pytest.approx(math.sqrt(LOW * HIGH))


def test_outcomes_alone_decide_not_their_order():
    rates, crashes = [1e-4, 1e-3, 3e-4, 5e-3], [False, True, False, True]
    found = next_rate(rates, crashes, [2e-4], LOW, HIGH)
    assert found == next_rate(rates[::-1], crashes[::-1], [2e-4], LOW, HIGH)
    assert found != next_rate(rates, [True, False, True, False], [2e-4], LOW, HIGH)


def spread_after(rates, crashes, candidate):
    """E[Var x50] / Var x50 + 0.15 E[Var log k] / Var log k, by Bayes' rule for either outcome."""
    design = make_design(math.log10(LOW), math.log10(HIGH))
    x50, log_k = design.x50_H, design.log_k_H
    likelihood = np.ones_like(x50)
    for rate, crash in zip(rates, crashes, strict=True):
        p = 1 / (1 + np.exp(-np.exp(log_k) * (np.log10(rate) - x50)))
        likelihood *= p if crash else 1 - p
    p = 1 / (1 + np.exp(-np.exp(log_k) * (candidate - x50)))
    parts = [likelihood * p, likelihood * (1 - p)]
    after = sum(part.sum() * np.array([np.cov(v, aweights=part, ddof=0) for v in (x50, log_k)]) for part in parts)
    now = likelihood.sum() * np.array([np.cov(v, aweights=likelihood, ddof=0) for v in (x50, log_k)])
    return after, now


def test_the_chosen_rate_has_the_smallest_expected_spread():
    rates, crashes = [3e-4, 1e-3, 3e-3, 2e-4, 6e-4], [False, True, True, False, False]
    candidates = np.linspace(-5, -2, 121)
    rates = [10 ** candidates[np.argmin(abs(candidates - math.log10(rate)))] for rate in rates]
    scores = [(after / now) @ [1, 0.15] for after, now in (spread_after(rates, crashes, x) for x in candidates)]
    assert math.log10(next_rate(rates, crashes, [], LOW, HIGH)) == pytest.approx(candidates[np.argmin(scores)])


def test_a_pending_run_counts_as_either_outcome():
    candidates = np.linspace(-5, -2, 121)
    rates, crashes, running = [10 ** candidates[50], 10 ** candidates[80]], [False, True], 10 ** candidates[65]
    scores = []
    for x in candidates:
        branches = [spread_after([*rates, running], [*crashes, crash], x) for crash in (True, False)]
        after, now = (sum(branch[part] for branch in branches) for part in (0, 1))
        scores.append((after / now) @ [1, 0.15])
    found = next_rate(rates, crashes, [running], LOW, HIGH)
    assert math.log10(found) == pytest.approx(candidates[np.argmin(scores)])
    assert found != next_rate(rates, crashes, [], LOW, HIGH)


def test_workers_that_start_together_share_out_the_range():
    pending = []
    for _ in range(8):
        pending.append(next_rate([], [], pending, LOW, HIGH))
    assert np.diff(np.sort(np.log10(pending))).min() > 0.1
    assert np.ptp(np.log10(pending)) > 2


@pytest.mark.parametrize(("probability", "bound"), [(0.0, "all_survive"), (1.0, "all_crash")])
def test_a_threshold_outside_the_range_ends_the_search_early(probability, bound):
    threshold, reason = search(lambda x: probability)
    assert (threshold.bound, reason) == (bound, "outside")
    assert threshold.runs <= 10


def test_a_step_is_found_by_halving():
    threshold, reason = search(lambda x: float(x > -3.33))
    assert reason == "narrow"
    assert threshold.runs <= 24
    assert threshold.half_width <= 0.1
    assert threshold.lr50_interval.low < 10**-3.33 < threshold.lr50_interval.high


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="not positive and rising"):
        next_rate([], [], [], 1e-2, 1e-5)
    with pytest.raises(ValueError, match="1 rates, 0 outcomes"):
        next_rate([1e-3], [], [], LOW, HIGH)
    with pytest.raises(ValueError, match="outside the range"):
        next_rate([1.0], [True], [], LOW, HIGH)
