"""Changes and slopes against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from ptycho_mlf.telemetry.coordinate_check import Changes, log_log_slope, scalings, track_changes


def linear_trial(width: int, lr: float) -> Changes:
    """One output y = w.x with |x_i| = 1 and L = y: a step of SGD changes y by -lr * width."""
    model = nn.Sequential(nn.Linear(width, 1, bias=False))
    batch = torch.ones(1, width)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)

    def step() -> None:
        optimizer.zero_grad()
        model(batch).sum().backward()
        optimizer.step()

    return track_changes(model, batch, step, steps=3)


def test_a_linear_layer_moves_in_proportion_to_its_width():
    widths, rates = [4, 8, 32], [0.01, 0.1]
    (found,) = scalings(widths, [[linear_trial(w, lr) for w in widths] for lr in rates])
    want = [[[lr * w * t for t in (1, 2, 3)] for w in widths] for lr in rates]
    np.testing.assert_allclose(found.change_SWT, want, rtol=1e-4)
    assert found.place == "0"
    assert found.slope == pytest.approx(1.0, abs=1e-4)
    assert found.slope_spread == pytest.approx(0.0, abs=1e-4)
    np.testing.assert_allclose(found.mean_W, [0.055 * 3 * w for w in widths], rtol=1e-4)


def test_a_rate_that_falls_with_the_width_is_flat():
    (found,) = scalings([4, 8, 32], [[linear_trial(w, 0.1 / w) for w in (4, 8, 32)]])
    assert found.slope == pytest.approx(0.0, abs=1e-4)
    assert found.slope_spread is None  # One seed tells no spread.


def test_slopes_are_averaged_over_seeds():
    rows = [[{"a": [float(w) ** power]} for w in (2, 4, 16)] for power in (1.0, 2.0, 3.0)]
    (found,) = scalings([2, 4, 16], rows)
    assert found.slope == pytest.approx(2.0)
    assert found.slope_spread == pytest.approx(1.0)


@pytest.mark.parametrize("broken", [0.0, math.nan, math.inf])
def test_what_does_not_move_or_blows_up_has_no_slope(broken: float):
    assert log_log_slope([1, 2, 4], [1.0, broken, 2.0]) is None
    good = [{"a": [1.0]}, {"a": [2.0]}]
    (found,) = scalings([1, 2], [good, [{"a": [1.0]}, {"a": [broken]}]])
    assert (found.slope, found.slope_spread) == (None, None)


def test_networks_with_different_places_are_not_compared():
    with pytest.raises(ValueError, match="different places"):
        scalings([1, 2], [[{"a": [1.0]}, {"b": [1.0]}]])
