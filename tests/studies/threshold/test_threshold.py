import math

import pytest

from ptycho_mlf.studies.threshold.sentences import rounded_down, sentences
from ptycho_mlf.studies.threshold.threshold import fit_threshold

LOW, HIGH = 1e-5, 1e-2


def test_separated_outcomes_give_a_finite_slope():
    threshold = fit_threshold([1e-4] * 6 + [1e-3] * 6, [False] * 6 + [True] * 6, LOW, HIGH)
    assert threshold.lr50 == pytest.approx(10**-3.5, rel=1e-4)
    # Two rates saturate the curve: Firth then adds half a crash and half a survival to each.
    assert threshold.slope == pytest.approx(2 * math.log(6.5 / 0.5), rel=1e-3)
    assert 1e-4 < threshold.lr50_interval.low < threshold.lr50 < threshold.lr50_interval.high < 1e-3
    assert threshold.slope < threshold.slope_interval.high < math.inf


@pytest.mark.parametrize(("crash", "bound"), [(False, "all_survive"), (True, "all_crash")])
def test_one_kind_of_outcome_gives_bounds_from_wilson(crash, bound):
    # 0 of 4: upper limit 49.0 %; 0 of 34: 10.2 %; 0 of 35: 9.9 %; 1 of 1: lower limit 20.7 %.
    rates = [1e-4] * 32 + [1e-3] * 3
    threshold = fit_threshold(rates, [crash] * 35, LOW, HIGH)
    assert (threshold.bound, threshold.lr50, threshold.lr10, threshold.slope) == (bound, None, None, None)
    if crash:
        assert threshold.lr50_interval == pytest.approx((0, 1e-4))
        assert threshold.lr10_interval == pytest.approx((0, 1e-4))
    else:
        assert threshold.lr50_interval == pytest.approx((1e-4, math.inf))
        assert threshold.lr10_interval == pytest.approx((1e-4, math.inf))
        assert fit_threshold(rates[1:], [False] * 34, LOW, HIGH).lr10_interval == (0, math.inf)


def test_too_few_runs_bound_nothing():
    threshold = fit_threshold([1e-3] * 3, [False] * 3, LOW, HIGH)
    assert threshold.lr50_interval == (0, math.inf)
    assert sentences(threshold) == [
        "0 of 3 runs crashed at rates from 1e-05 to 0.01: LR50 unknown, LR10 unknown.",
        "These runs support no rate with less than one crash in ten.",
    ]


def test_counts_that_contradict_a_rising_curve_are_named():
    threshold = fit_threshold([1e-4] * 5 + [1e-3] * 5, [True] * 5 + [False] * 5, LOW, HIGH)
    assert (threshold.bound, threshold.lr50, threshold.rising) == ("not_rising", None, False)
    assert threshold.slope < 0
    assert "The counts contradict" in sentences(threshold)[2]


@pytest.mark.parametrize(
    ("rate", "expected"), [(8.39e-5, 8.3e-5), (8.3e-5, 8.3e-5), (0.1, 0.1), (0.29, 0.29), (3.0, 3.0)]
)
def test_the_rate_to_use_is_rounded_down(rate, expected):
    assert rounded_down(rate) == pytest.approx(expected)
