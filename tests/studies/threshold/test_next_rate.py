import math

import numpy as np
import pytest

from ptycho_mlf.studies.threshold.next_rate import next_rate
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


def test_a_running_trial_is_not_repeated_beside_it():
    first = next_rate([], [], [], LOW, HIGH)
    second = next_rate([], [], [first], LOW, HIGH)
    third = next_rate([], [], [first, second], LOW, HIGH)
    assert abs(math.log10(second / first)) > 0.2
    assert abs(math.log10(third / second)) > 0.2


@pytest.mark.parametrize(("probability", "bound"), [(0.0, "all_survive"), (1.0, "all_crash")])
def test_a_threshold_outside_the_range_ends_the_search_early(probability, bound):
    threshold, reason = search(lambda x: probability)
    assert (threshold.bound, reason) == (bound, "outside")
    assert threshold.runs <= 10


def test_a_step_is_found_by_halving():
    threshold, reason = search(lambda x: float(x > -3.33))
    assert reason == "narrow"
    assert threshold.runs <= 24
    assert threshold.lr50_interval.low < 10**-3.33 < threshold.lr50_interval.high


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="not positive and rising"):
        next_rate([], [], [], 1e-2, 1e-5)
    with pytest.raises(ValueError, match="1 rates, 0 outcomes"):
        next_rate([1e-3], [], [], LOW, HIGH)
    with pytest.raises(ValueError, match="outside the range"):
        next_rate([1.0], [True], [], LOW, HIGH)
