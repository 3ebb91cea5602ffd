"""Intervals, paired tests, survival and spread against published numbers, statsmodels and counting by hand."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from statsmodels.duration.survfunc import SurvfuncRight
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from ptycho_mlf.studies.statistics.interval import Interval
from ptycho_mlf.studies.statistics.paired import paired_crashes, paired_values
from ptycho_mlf.studies.statistics.proportion import newcombe, wilson
from ptycho_mlf.studies.statistics.spread import Spread, spread, spread_over_seeds
from ptycho_mlf.studies.statistics.survival import Life, kaplan_meier


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (1, 3, 6.1, 79.2),
        (0, 3, 0.0, 56.1),
        (0, 5, 0.0, 43.4),
        (0, 10, 0.0, 27.8),
        (0, 20, 0.0, 16.1),
        (0, 40, 0.0, 8.8),
        (0, 73, 0.0, 5.0),
        (20, 40, 35.2, 64.8),
    ],
)
def test_wilson_gives_the_table_in_percent(k: int, n: int, low: float, high: float):
    found = wilson(k, n)
    assert [round(100 * end, 1) for end in found.interval] == [low, high]
    assert found.share == k / n
    mirrored = wilson(n - k, n).interval
    np.testing.assert_allclose(found.interval, (1 - mirrored.high, 1 - mirrored.low), atol=1e-12)


def test_wilson_is_that_of_statsmodels_at_any_confidence():
    for k, n, confidence in itertools.product((0, 2, 9), (9, 50), (0.8, 0.95, 0.99)):
        theirs = proportion_confint(k, n, 1 - confidence, method="wilson")
        np.testing.assert_allclose(wilson(k, n, confidence).interval, np.asarray(theirs), atol=1e-12)


def test_no_run_says_nothing_and_no_proportion_is_refused():
    assert wilson(0, 0).interval == (0, 1)
    assert wilson(0, 0).share is None
    with pytest.raises(ValueError, match="4 of 3"):
        wilson(4, 3)
    with pytest.raises(ValueError, match="both sides"):
        newcombe((0, 0), (1, 3))


# Newcombe 1998, table II, method 10.
PUBLISHED = {
    ((56, 70), (48, 80)): (0.0524, 0.3339),
    ((9, 10), (3, 10)): (0.1705, 0.8090),
    ((6, 7), (2, 7)): (0.0582, 0.8062),
    ((5, 56), (0, 29)): (-0.0381, 0.1926),
    ((0, 10), (0, 20)): (-0.1611, 0.2775),
    ((0, 10), (0, 10)): (-0.2775, 0.2775),
    ((10, 10), (0, 20)): (0.6791, 1.0000),
    ((10, 10), (0, 10)): (0.6075, 1.0000),
}


@pytest.mark.parametrize("case", PUBLISHED)
def test_newcombe_gives_the_published_intervals(case: tuple[tuple[int, int], tuple[int, int]]):
    found = newcombe(*case)
    assert tuple(round(end, 4) for end in found.interval) == PUBLISHED[case]
    assert found.established == (PUBLISHED[case][0] > 0)
    theirs = confint_proportions_2indep(*case[0], *case[1], method="newcomb")
    np.testing.assert_allclose(found.interval, theirs, atol=1e-12)
    back = newcombe(case[1], case[0])
    np.testing.assert_allclose(back.interval, (-found.interval.high, -found.interval.low), atol=1e-12)


def test_one_of_three_against_none_of_three_establishes_nothing():
    assert not newcombe((1, 3), (0, 3)).established
    assert newcombe((20, 20), (0, 20)).established


def crashes(word: str) -> dict[int, bool]:
    return {seed: letter == "x" for seed, letter in enumerate(word)}


@pytest.mark.parametrize(
    ("first", "second"),
    [("xxxxxxxx..", ".x......x."), ("xxx...", "...xxx"), ("xx..", "xx.."), ("xxxxxx", "......"), ("x" * 12, "." * 12)],
)
def test_paired_crashes_are_the_exact_mcnemar_test(first: str, second: str):
    found = paired_crashes(crashes(first), crashes(second))
    table = np.array([[found.both, found.only_first], [found.only_second, found.neither]])
    pairs = list(zip(first, second, strict=True))
    assert table.tolist() == [
        [pairs.count(("x", "x")), pairs.count(("x", "."))],
        [pairs.count((".", "x")), pairs.count((".", "."))],
    ]
    assert found.n == len(first)
    theirs: Any = mcnemar(table, exact=True)
    assert found.p_value == pytest.approx(theirs.pvalue, abs=1e-12)


def test_six_of_six_discordant_seeds_are_counted_by_hand():
    # All six heads or all six tails: 2 / 2^6.
    assert paired_crashes(crashes("xxxxxx"), crashes("......")).p_value == pytest.approx(2 / 64)


def test_only_shared_seeds_are_paired():
    found = paired_crashes({1: True, 2: False, 3: True}, {2: True, 3: True, 4: False})
    assert (found.both, found.only_first, found.only_second, found.neither) == (1, 0, 1, 0)
    assert paired_crashes({1: True}, {2: False}).p_value == 1
    values = paired_values({1: 5.0, 2: 2.0, 3: math.inf, 5: 0.0}, {2: 1.0, 3: 0.0, 4: 9.0, 5: math.nan})
    assert (values.n, values.left_out, values.median) == (1, 2, 1.0)


def by_seed(values: list[float]) -> dict[int, float]:
    return dict(enumerate(values))


def test_signed_ranks_are_those_of_all_sign_patterns():
    d = np.array([0.5, -0.1, 1.2, 0.7, 0.3, -0.2, 0.9, 1.1, 0.4])
    ranks = np.argsort(np.argsort(np.abs(d))) + 1
    observed = min(ranks[d > 0].sum(), ranks[d < 0].sum())
    sums = [sum(itertools.compress(ranks, signs)) for signs in itertools.product((0, 1), repeat=d.size)]
    exact = min(1.0, 2 * np.mean([total <= observed for total in sums]))
    base = np.linspace(0, 1, d.size)
    found = paired_values(by_seed(list(base + d)), by_seed(list(base)))
    assert found.p_value == pytest.approx(exact)
    assert found.median == pytest.approx(0.5)
    tied = paired_values(by_seed([1.0] * 6 + [0.0]), by_seed([0.0] * 7))
    assert tied.p_value == pytest.approx(2 / 64)


def test_the_interval_of_the_median_lies_between_order_statistics():
    d = sorted([0.5, -0.1, 1.2, 0.7, 0.3, -0.2, 0.9, 1.1, 0.4, 2.0])
    found = paired_values(by_seed(d), by_seed([0.0] * 10))
    # Binomial(10, 1/2): P(X <= 1) = 11/1024 < 2.5 % < P(X <= 2) = 56/1024, so second and ninth.
    assert found.interval == (d[1], d[8])
    five = paired_values(by_seed(d[:5]), by_seed([0.0] * 5))
    assert five.interval == (-math.inf, math.inf)
    six = paired_values(by_seed(d[:6]), by_seed([0.0] * 6))
    assert six.interval == (d[0], d[5])


def test_equal_arms_differ_by_nothing():
    found = paired_values(by_seed([1.0, 2.0, 3.0]), by_seed([1.0, 2.0, 3.0]))
    assert (found.median, found.p_value) == (0.0, 1.0)
    nothing = paired_values({}, {1: 2.0})
    assert (nothing.n, nothing.median, nothing.p_value) == (0, None, 1.0)


# Freireich et al. 1963, remission in weeks, the example of Kaplan-Meier textbooks; + is censored.
TREATED = "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+"
PLACEBO = "1 1 2 2 3 4 4 5 5 8 8 8 8 11 11 12 12 15 17 22 23"


def lives(text: str) -> list[Life]:
    return [Life(float(word.rstrip("+")), not word.endswith("+")) for word in text.split()]


def test_survival_is_the_published_table_and_statsmodels():
    treated = kaplan_meier(lives(TREATED))
    table = dict(zip(treated.steps, treated.survival, strict=True))
    published = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    assert {t: round(table[t], 3) for t in published} == published
    assert (treated.median, treated.quartiles) == (23, (13, None))
    assert kaplan_meier(lives(PLACEBO)).median == 8
    assert (treated.runs, treated.failures) == (21, 9)
    assert treated.summary() == "median 23 steps (quartiles 13 to not reached), 9 of 21 failed"

    data = lives(TREATED)
    theirs: Any = SurvfuncRight([life.steps for life in data], [life.failed for life in data])
    for t, s, se in zip(theirs.surv_times, theirs.surv_prob, theirs.surv_prob_se, strict=True):
        assert table[t] == pytest.approx(s)
        # Greenwood's variance of log(-log S), from their standard error of S.
        width = 1.959963984540054 * se / (s * abs(math.log(s)))
        low, high = s ** math.exp(width), s ** math.exp(-width)
        at = treated.steps.index(t)
        assert (treated.low[at], treated.high[at]) == pytest.approx((low, high), rel=1e-9)


def test_survivors_alone_reach_nothing_and_a_full_loss_reaches_all():
    nobody = kaplan_meier(lives("252+ 252+ 252+"))
    assert (nobody.median, nobody.quartiles, nobody.survival) == (None, (None, None), (1.0,))
    assert math.isnan(nobody.low[0])
    assert nobody.summary() == "median not reached (quartiles not reached to not reached), 0 of 3 failed"
    everybody = kaplan_meier(lives("10 20 30 40"))
    assert (everybody.median, everybody.quartiles) == (20, (10, 30))
    assert math.isnan(everybody.high[-1])
    with pytest.raises(ValueError, match="at least one run"):
        kaplan_meier([])


def test_spread_is_numpys_where_all_is_finite():
    values = [0.3, 2.5, -1.0, 7.0, 0.9, 4.4]
    found = spread(values)
    theirs = np.quantile(values, [0.25, 0.5, 0.75])
    assert (found.q25, found.median, found.q75) == pytest.approx(tuple(theirs))
    assert spread([]) == Spread(0, None, None, None)
    with pytest.raises(ValueError, match="NaN"):
        spread([math.nan])


def test_a_crashed_seed_counts_over_all_and_not_over_survivors():
    found = spread_over_seeds([0.9, 0.8, 0.1, None, math.nan], [False, False, True, True, True], better="higher")
    assert (found.all.n, found.all.median, found.all.q25, found.all.q75) == (5, 0.1, -math.inf, 0.8)
    assert (found.survivors.n, found.survivors.median) == (2, pytest.approx(0.85))
    assert found.without_value == 2
    loss = spread_over_seeds([math.inf, 0.2, None], [True, False, True], better="lower")
    assert (loss.all.median, loss.all.q25, loss.survivors.median) == (math.inf, math.inf, 0.2)
    with pytest.raises(ValueError, match="shorter"):
        spread_over_seeds([1.0, 2.0], [True], better="lower")


def test_an_interval_knows_what_it_excludes():
    assert Interval(0.1, 0.5).excludes(0)
    assert not Interval(-math.inf, 0.5).excludes(0)
