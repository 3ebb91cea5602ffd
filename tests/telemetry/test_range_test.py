"""The range test against losses whose turning points are known."""

import math

import numpy as np
import pytest

from ptycho_mlf.telemetry.range_test import range_test


def losses_of(rates, fall=1e-3, explode=1e-1):
    """Falls from 1 to 0.2 around one rate, grows as the square of the rate beyond another."""
    x = np.log10(rates)
    return 0.2 + 0.8 / (1 + np.exp(4 * (x - math.log10(fall)))) + 0.6 * (rates / explode) ** 2


def test_the_rates_of_a_clean_ramp_are_read_off_in_order():
    rates = np.geomspace(1e-6, 10.0, 700)
    found = range_test(rates, losses_of(rates))
    # Nothing but the window of half a decade blurs a descent that is symmetric.
    assert math.log10(found.steepest / 1e-3) == pytest.approx(0, abs=0.02)
    # 0.2 + 0.6 u^2 = 4 * (best, a little above 0.2) at u about 1; smoothing over ten of 100 steps per decade lags.
    assert math.log10(found.diverged / 1e-1) == pytest.approx(0.1, abs=0.1)
    assert found.steepest < found.diverged


def test_noise_moves_neither_rate_far():
    rates = np.geomspace(1e-6, 10.0, 700)
    noise = np.exp(0.1 * np.random.default_rng(0).standard_normal(700))
    clean, noisy = range_test(rates, losses_of(rates)), range_test(rates, losses_of(rates) * noise)
    assert abs(math.log10(noisy.steepest / clean.steepest)) < 0.3
    assert abs(math.log10(noisy.diverged / clean.diverged)) < 0.1


def test_a_loss_that_is_not_finite_has_diverged():
    rates = np.geomspace(1e-4, 1e-1, 31)
    losses = np.where(rates < 1e-2, 1.0, np.nan)
    found = range_test(rates, losses)
    assert found.diverged == pytest.approx(rates[np.argmax(rates >= 1e-2)])
    assert found.steepest is None


def test_a_ramp_that_ends_too_soon_says_so():
    rates = np.geomspace(1e-6, 1e-2, 100)
    found = range_test(rates, losses_of(rates))
    assert found.diverged is None
    assert found.steepest is not None


@pytest.mark.parametrize(
    ("rates", "losses", "message"),
    [([1e-3], [1.0], "no range test"), ([1e-3, 1e-2], [1.0], "no range test"), ([1e-2, 1e-3], [1.0, 1.0], "rise")],
)
def test_what_is_no_ramp_is_refused(rates, losses, message):
    with pytest.raises(ValueError, match=message):
        range_test(rates, losses)
