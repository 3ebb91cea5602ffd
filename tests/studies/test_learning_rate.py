"""Stable range and sensitivity of loss curves whose answers are known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ptycho_mlf.studies.learning_rate.final_losses import Ended, FinalLosses, final_losses
from ptycho_mlf.studies.learning_rate.sensitivity import sensitivity
from ptycho_mlf.studies.learning_rate.stable_range import stable_range


def curve(losses: list[float], *, start: float = -4.0, step: float = 1.0, l0: float = 1.0) -> FinalLosses:
    """One seed at each of the rates 10^start, 10^(start + step), ..."""
    return final_losses(Ended(10 ** (start + step * i), loss, l0) for i, loss in enumerate(losses))


def test_a_v_shaped_curve_has_its_range_where_the_arms_of_the_v_cross_the_bound():
    # l = 0.2 + 0.4 |x + 2|, l0 = 1: bound 0.2 + 0.05 * 0.8 = 0.24, crossed at x = -2 -+ 0.1.
    found = stable_range(curve([1.0, 0.6, 0.2, 0.6, 1.0]))
    assert found is not None
    assert (math.log10(found.low), math.log10(found.high)) == pytest.approx((-2.1, -1.9))
    assert found.decades == pytest.approx(0.2)
    assert found.best == pytest.approx(1e-2)
    assert (found.low_open, found.high_open) == (False, False)


def test_a_trapezoid_has_the_width_of_its_plateau_and_its_unequal_flanks():
    # Bound 0.05; left flank falls 1 in 1 decade (0.05 of it inside), right flank rises 0.5 in 1 decade (0.1).
    found = stable_range(curve([1.0, 0.0, 0.03, 0.0, 0.5, 1.0]))
    assert found is not None
    assert (math.log10(found.low), math.log10(found.high)) == pytest.approx((-3.05, -0.9))
    assert found.decades == pytest.approx(2.15)
    assert found.best == pytest.approx(1e-3)


def test_the_range_is_contiguous_around_the_best_rate():
    # A second good rate beyond a bad one does not belong to it.
    found = stable_range(curve([0.01, 1.0, 0.0, 1.0, 0.02]))
    assert found is not None
    assert (math.log10(found.low), math.log10(found.high)) == pytest.approx((-2.05, -1.95))


def test_an_end_beyond_the_tried_rates_is_open():
    found = stable_range(curve([0.0, 0.01, 1.0]))
    assert found is not None
    assert (found.low, found.low_open, found.high_open) == (pytest.approx(1e-4), True, False)
    everything = stable_range(curve([0.0, 0.01, 0.02]))
    assert everything is not None
    assert (everything.decades, everything.low_open, everything.high_open) == (pytest.approx(2.0), True, True)


def test_nothing_learned_has_no_range_and_no_normalised_sensitivity():
    losses = curve([1.0, math.inf, 3.0])
    assert stable_range(losses) is None
    found = sensitivity(losses)
    assert (found.s, found.normalised) == (0, None)


def test_worse_than_the_beginning_or_not_finite_counts_as_the_beginning():
    losses = curve([math.nan, math.inf, 17.0, 0.3, -math.inf])
    assert losses.l_med_R == (1.0, 1.0, 1.0, 0.3, 1.0)


def test_seeds_enter_as_median_and_mean_and_each_with_its_own_beginning():
    runs = [
        *(Ended(1e-3, loss, l0) for loss, l0 in ((0.1, 1.0), (0.2, 1.1), (0.6, 0.9))),
        *(Ended(1e-2, loss, l0) for loss, l0 in ((0.4, 1.0), (9.0, 1.1), (math.nan, 0.9))),
    ]
    losses = final_losses(reversed(runs))
    assert losses.x_R == pytest.approx((-3, -2))
    assert losses.l_med_R == pytest.approx((0.2, 0.9))
    assert losses.l_mean_R == pytest.approx((0.3, 0.8))
    assert (losses.l0, losses.l_star, losses.n_R) == (1.0, 0.2, (3, 3))


def test_sensitivity_of_a_line_is_half_its_rise():
    # l rises from 0 to 1 over [a, b]: the mean is 1/2 whatever the grid, even or not.
    even = curve([0.0, 0.25, 0.5, 0.75, 1.0])
    assert sensitivity(even).s == pytest.approx(0.5)
    uneven = final_losses(Ended(10 ** (-4 + 4 * x), x, 1.0) for x in (0, 0.1, 0.15, 0.7, 1))
    found = sensitivity(uneven)
    assert (found.s, found.normalised) == (pytest.approx(0.5), pytest.approx(0.5))
    assert (found.low, found.high) == (pytest.approx(1e-4), pytest.approx(1))


def test_sensitivity_of_a_step_is_the_share_of_crashing_decades():
    # Best 0.2 up to -2, then nothing learned (l0 = 1); the trapezoid ramp lies between -2 and -1.
    found = sensitivity(curve([0.2, 0.2, 0.2, math.nan, 40.0]))
    assert found.s == pytest.approx(0.8 * (0.5 + 1.0) / 4)
    assert found.normalised == pytest.approx(1.5 / 4)
    assert sensitivity(curve([0.2, 0.2, 0.2])).s == pytest.approx(0, abs=1e-15)


def test_sensitivity_of_a_parabola_converges_to_its_integral():
    x = np.linspace(-1, 1, 401)
    found = sensitivity(final_losses(Ended(10 ** float(v), float(v * v), 1.0) for v in x))
    assert found.s == pytest.approx(1 / 3, abs=1e-5)


def test_with_shared_seeds_it_is_the_mean_of_the_seeds_own():
    seeds = {1: [0.3, 0.1, 0.5], 2: [0.2, 0.2, 1.0], 3: [0.4, 0.1, 0.9]}
    rates = [1e-4, 1e-3, 1e-1]
    together = final_losses(Ended(r, loss, 1.0) for row in seeds.values() for r, loss in zip(rates, row, strict=True))
    # l* = 0.1; trapezoids over 1 and 2 decades, out of 3.
    own = [((a + b - 0.2) / 2 * 1 + (b + c - 0.2) / 2 * 2) / 3 for a, b, c in seeds.values()]
    assert sensitivity(together).s == pytest.approx(sum(own) / 3)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([Ended(1e-3, 0.1, 1.0), Ended(1e-3, 0.2, 1.0)], "at least two learning rates"),
        ([Ended(0.0, 0.1, 1.0), Ended(1e-3, 0.2, 1.0)], "0.0 is no learning rate"),
        ([Ended(1e-2, 0.1, math.nan), Ended(1e-3, 0.2, 1.0)], "initial loss of nan"),
    ],
)
def test_what_says_nothing_is_refused(runs: list[Ended], message: str):
    with pytest.raises(ValueError, match=message):
        final_losses(runs)
