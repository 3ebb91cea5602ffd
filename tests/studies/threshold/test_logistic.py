import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import chi2

from ptycho_mlf.studies.threshold.logistic import (
    LOGIT_10,
    Counts,
    drop,
    fit_curve,
    position_interval,
    profile_position,
    slope_interval,
)


def outcomes(n, k, x50, seed, places=41):
    rng = np.random.default_rng(seed)
    x = rng.choice(np.linspace(-5, -2, places), n)
    return x, rng.random(n) < 1 / (1 + np.exp(-k * (x - x50)))


def penalised_by_hand(x, y, intercept, slope):
    """Likelihood run by run, information as a matrix: what the module does by sums over distinct rates."""
    p = 1 / (1 + np.exp(-(intercept + slope * x)))
    design = np.stack([np.ones_like(x), x], 1)
    information = design.T @ (design * (p * (1 - p))[:, None])
    return np.sum(np.log(np.where(y, p, 1 - p))) + 0.5 * np.log(np.linalg.det(information))


def test_many_runs_give_the_fit_of_statsmodels():
    x, y = outcomes(200_000, 5.0, -3.4, seed=1)
    theirs = sm.Logit(y.astype(float), sm.add_constant(x)).fit(disp=False)
    intercept, slope = theirs.params
    curve = fit_curve(Counts.of(x, y))
    assert curve.slope == pytest.approx(slope, rel=1e-4)
    assert curve.x50 == pytest.approx(-intercept / slope, abs=1e-5)
    assert curve.position(LOGIT_10) == pytest.approx((-math.log(9) - intercept) / slope, abs=1e-4)
    # Wald intervals of theirs, widened to our level, agree with profiles where the likelihood is a parabola.
    z = math.sqrt(2 * drop(len(x)))
    low, high = slope_interval(Counts.of(x, y), curve)
    assert (high - low) / 2 == pytest.approx(z * theirs.bse[1], rel=0.01)
    gradient = np.array([-1 / slope, intercept / slope**2])
    error = math.sqrt(gradient @ theirs.cov_params() @ gradient)
    low, high = position_interval(Counts.of(x, y), curve, 0.0, -8, 1)
    assert (high - low) / 2 == pytest.approx(z * error, rel=0.01)


@pytest.mark.parametrize(("n", "k", "seed"), [(12, 5.0, 3), (40, 8.0, 4), (120, 3.0, 5)])
def test_the_penalised_likelihood_is_maximal_where_a_grid_has_it(n, k, seed):
    x, y = outcomes(n, k, -3.5, seed)
    counts = Counts.of(x, y)
    curve = fit_curve(counts)
    x50, slope = np.meshgrid(curve.x50 + np.linspace(-0.4, 0.4, 81), curve.slope * np.geomspace(0.4, 2.5, 81))
    heights = np.vectorize(lambda a, b: penalised_by_hand(x, y, -a * b, b))(x50, slope)
    best = np.unravel_index(np.argmax(heights), heights.shape)
    assert x50[best] == pytest.approx(curve.x50, abs=0.01)
    assert slope[best] == pytest.approx(curve.slope, rel=0.02)
    assert curve.maximum == pytest.approx(penalised_by_hand(x, y, -curve.x50 * curve.slope, curve.slope), abs=1e-6)
    assert heights.max() <= curve.maximum + 1e-9


@pytest.mark.parametrize("level", [0.0, LOGIT_10])
def test_an_interval_ends_where_the_profile_has_fallen_by_the_drop(level):
    x, y = outcomes(60, 5.0, -3.5, seed=6)
    counts = Counts.of(x, y)
    curve = fit_curve(counts)
    ends = position_interval(counts, curve, level, -8, 1)
    slopes = np.geomspace(0.5, 20, 3000)
    for end in ends:
        by_hand = max(penalised_by_hand(x, y, level - slope * end, slope) for slope in slopes)
        assert by_hand == pytest.approx(curve.maximum - drop(60), abs=2e-3)
        assert profile_position(counts, end, level) == pytest.approx(by_hand, abs=2e-3)
    assert ends.low < curve.position(level) < ends.high


def test_without_a_slope_an_interval_is_open():
    counts = Counts.of(np.array([-4.0, -4, -3, -3]), np.array([True, False, True, False]))
    curve = fit_curve(counts)
    assert position_interval(counts, curve, 0.0, -8, 1) == (-math.inf, math.inf)
    low, high = slope_interval(counts, curve)
    assert low < 0 < high


def test_a_mirrored_study_mirrors_the_fit():
    x, y = outcomes(50, 5.0, -3.6, seed=7)
    here, there = fit_curve(Counts.of(x, y)), fit_curve(Counts.of(-7 - x, ~y))
    assert there.x50 == pytest.approx(-7 - here.x50, abs=1e-4)
    assert there.slope == pytest.approx(here.slope, rel=1e-4)


def test_the_drop_is_that_of_95_percent_and_grows_with_the_looks():
    assert drop(1) == drop(36) == drop(36, LOGIT_10) == pytest.approx(chi2.ppf(0.95, 1) / 2)
    assert drop(86) == drop(10_000) == drop(86, LOGIT_10) == pytest.approx(chi2.ppf(0.975, 1) / 2)
    assert drop(250, LOGIT_10) == drop(10_000, LOGIT_10) == pytest.approx(chi2.ppf(0.9857, 1) / 2, abs=0.01)
    assert drop(36) < drop(50) < drop(86)
