"""Losses against closed forms, numpy and the Poisson distribution of scipy."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson as poisson_distribution

from ptycho_mlf.config import InputError
from ptycho_mlf.physics.losses import amp_mse, amplitude_loss, mae, poisson, poisson_legacy

DETERMINISTIC = settings(derandomize=True, deadline=None, max_examples=20)
LOSSES = {
    "mae": mae,
    "amp_mse": amp_mse,
    "poisson": partial(poisson, intensity_scale=30.0, eps=1e-3),
    "poisson_legacy": poisson_legacy,
}


def pair(seed=0, shape=(3, 2, 4, 4)):
    """Predicted and measured amplitudes, float64."""
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.uniform(0.1, 1.6, shape)), torch.tensor(rng.uniform(0.0, 1.6, shape))


def test_mae_and_amp_mse_by_hand():
    predicted = torch.tensor([1.0, 2.0, 0.0, 5.0]).reshape(2, 1, 1, 2)
    measured = torch.tensor([1.0, 1.0, 2.0, 4.0]).reshape(2, 1, 1, 2)
    assert mae(predicted, measured).item() == pytest.approx(4 / 8)  # errors 0 1 2 1
    assert amp_mse(predicted, measured).item() == pytest.approx(6 / 22)


@given(st.integers(0, 2**32 - 1), st.floats(1e-2, 1e3))
@DETERMINISTIC
def test_predicting_nothing_scores_one_and_units_drop_out(seed, unit):
    predicted, measured = pair(seed)
    for loss in (mae, amp_mse):
        assert loss(0 * measured, measured).item() == pytest.approx(1, abs=1e-6)
        assert loss(unit * predicted, unit * measured).item() == pytest.approx(
            loss(predicted, measured).item(), rel=1e-3
        )


@pytest.mark.parametrize("s", [3.0, 100.0])
def test_poisson_is_the_likelihood_of_the_counts(s):
    """The dropped terms depend on the counts alone, so differences between predictions are those of scipy."""
    rng = np.random.default_rng(1)
    counts = rng.poisson(rng.uniform(0, s**2, (2, 1, 4, 4)))
    A1, A2 = (rng.uniform(0.1, 1.6, counts.shape) for _ in range(2))
    expected = sum(sign * -poisson_distribution((s * A) ** 2).logpmf(counts).sum() for sign, A in ((1, A1), (-1, A2)))
    X = torch.tensor(np.sqrt(counts) / s)
    loss = partial(poisson, intensity_scale=s, eps=1e-12)
    got = (loss(torch.tensor(A1), X) - loss(torch.tensor(A2), X)).item()
    assert got * s**2 * counts.size == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("s", [30.0, 1000.0])
def test_poisson_gradient_vanishes_at_the_truth_and_does_not_know_the_photon_number(s):
    A, X = pair()
    A.requires_grad_()
    (grad,) = torch.autograd.grad(poisson(A, X, intensity_scale=s, eps=1e-9), A)
    np.testing.assert_allclose(grad * A.numel(), (2 * (A - X**2 / A)).detach(), rtol=1e-6, atol=1e-6)
    truth = X.clamp(min=0.1).requires_grad_()
    (grad,) = torch.autograd.grad(poisson(truth, truth.detach(), intensity_scale=s, eps=1e-9), truth)
    assert grad.abs().max().item() < 1e-8


def test_eps_counts_in_photons():
    """Four photons where two are expected, and eps = 1: (2 - 4 log(2 + 1)) / s^2."""
    s = 20.0
    A, X = (torch.full((1, 1, 2, 2), math.sqrt(count) / s) for count in (2, 4))
    loss = poisson(A, X, intensity_scale=s, eps=1.0)
    assert loss.item() == pytest.approx((2 - 4 * math.log(3)) / s**2, rel=1e-6)


def test_poisson_legacy_takes_rates_for_counts():
    A, X = pair()
    nll = -torch.distributions.Poisson(A**2, validate_args=False).log_prob(X**2) - torch.lgamma(X**2 + 1)
    assert poisson_legacy(A, X).item() == pytest.approx((nll.mean() / X.mean()).item(), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients(name):
    A, X = pair(shape=(2, 1, 3, 3))
    assert torch.autograd.gradcheck(lambda a: LOSSES[name](a, X), A.requires_grad_())


@pytest.mark.parametrize("name", LOSSES)
def test_dark_predictions_and_dark_patterns_stay_finite(name):
    dark, lit = torch.zeros(2, 1, 3, 3), torch.ones(2, 1, 3, 3)
    for predicted, measured in ((dark, lit), (dark, dark), (lit, dark)):
        A = predicted.clone().requires_grad_()
        loss = LOSSES[name](A, measured)
        loss.backward()
        assert loss.isfinite()
        assert A.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_the_name_selects_the_loss(name):
    A, X = pair()
    assert amplitude_loss(name, intensity_scale=30.0, eps=1e-3)(A, X) == LOSSES[name](A, X)


def test_an_unknown_name_is_refused():
    with pytest.raises(InputError, match="loss=huber: must be one of mae, amp_mse, poisson, poisson_legacy"):
        amplitude_loss("huber", intensity_scale=1.0, eps=1.0)
