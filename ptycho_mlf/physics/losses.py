"""Losses between predicted amplitudes A and measured amplitudes X, both (B, C, N, N) real in normalised units.

Every mean runs over the whole batch, so that a loss is a statement about its batch and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from ptycho_mlf.config import InputError

AmplitudeLoss = Callable[[Tensor, Tensor], Tensor]
GUARD = 1e-8
"""Keeps the quotients finite for a batch of dark patterns; far below the mean of any real one."""


def mae(predicted_BCNN: Tensor, measured_BCNN: Tensor) -> Tensor:
    """mean |A - X| / mean X: dimensionless, 1 for A = 0."""
    return (predicted_BCNN - measured_BCNN).abs().mean() / (measured_BCNN.mean() + GUARD)


def amp_mse(predicted_BCNN: Tensor, measured_BCNN: Tensor) -> Tensor:
    """mean (A - X)^2 / mean X^2: dimensionless, 1 for A = 0."""
    return (predicted_BCNN - measured_BCNN).square().mean() / (measured_BCNN.square().mean() + GUARD)


def poisson(predicted_BCNN: Tensor, measured_BCNN: Tensor, *, intensity_scale: float, eps: float) -> Tensor:
    """Negative Poisson log-likelihood of the counts n = (s X)^2 at the expected counts m = (s A)^2, per s^2.

    mean(m - n log(m + eps)) / s^2, without the terms that depend on n alone. Its gradient is
    2 A (1 - n / (m + eps)) per pixel: zero at A = X up to eps, whatever the photon number.

    Args:
        predicted_BCNN: A.
        measured_BCNN: X.
        intensity_scale: s, sqrt(photon) per unit of amplitude.
        eps: photons; bounds the logarithm where nothing is predicted.
    """
    s2 = intensity_scale**2
    intensity_BCNN = predicted_BCNN.square()
    return (intensity_BCNN - measured_BCNN.square() * (intensity_BCNN * s2 + eps).log()).mean()


def poisson_legacy(predicted_BCNN: Tensor, measured_BCNN: Tensor) -> Tensor:
    """The Poisson loss as the earlier study had it: rates X^2 and A^2 in place of counts, divided by mean X.

    A Poisson likelihood needs counts: with rates of order 1 it weighs the pixels as if they had caught a photon each.
    """
    return poisson(predicted_BCNN, measured_BCNN, intensity_scale=1.0, eps=GUARD) / (measured_BCNN.mean() + GUARD)


def amplitude_loss(name: str, *, intensity_scale: float, eps: float) -> AmplitudeLoss:
    """The amplitude loss of that name, as a function of (A, X) that returns a scalar.

    Args:
        name: `mae`, `amp_mse`, `poisson` or `poisson_legacy`.
        intensity_scale: s, sqrt(photon) per unit of amplitude; used by `poisson`.
        eps: photons; used by `poisson`.

    Raises:
        InputError: no loss of that name.
    """
    losses: dict[str, AmplitudeLoss] = {
        "mae": mae,
        "amp_mse": amp_mse,
        "poisson": partial(poisson, intensity_scale=intensity_scale, eps=eps),
        "poisson_legacy": poisson_legacy,
    }
    if name not in losses:
        raise InputError(f"loss={name}: must be one of {', '.join(losses)}")
    return losses[name]
