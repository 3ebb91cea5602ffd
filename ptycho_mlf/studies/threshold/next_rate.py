"""Which learning rate to try next: the one whose outcome tells most about where half of the runs crash.

What is known of the curve P(x) = 1 / (1 + exp(-k (x - x50))) is a posterior on a grid of x50 and log k, from a flat
prior over the range with a margin and over all slopes that matter. A candidate x is scored by what the posterior
variances are expected to be once its outcome is in, relative to what they are:

    E[Var x50] / Var x50 + SLOPE_SHARE E[Var log k] / Var log k

(Chaloner and Verdinelli, Stat. Sci. 10, 273, 1995, for the idea). The slope has a share because an interval of x50
is as wide as the slope is small, and because LR10 lies ln(9)/k below.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil, log10
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit

Floats = NDArray[np.float64]

SLOPE_SHARE = 0.25
SLOPES: Floats = np.geomspace(1, 30, 24, dtype=np.float64)
"""Per decade: from 10 to 90 % within 4.4 decades to within 0.15."""
STEP = 0.025
"""Decades between candidates, at most, if the range is not very wide."""
FEWEST, MOST = 40, 240
"""Steps over the range."""
MARGIN = 0.5
"""Decades beyond either end where x50 may still lie."""


class Design(NamedTuple):
    """Candidate rates and hypotheses about the curve."""

    x_C: Floats
    """log10 of the candidate rates."""
    x50_H: Floats
    log_k_H: Floats
    crash_HC: Floats
    """P(crash) of every candidate under every hypothesis."""
    log_crash_HC: Floats
    log_survival_HC: Floats

    def log_likelihood(self, crashes_C: Floats, survivals_C: Floats) -> Floats:
        """Of every hypothesis, given (fractional) counts at the candidates."""
        return self.log_crash_HC @ crashes_C + self.log_survival_HC @ survivals_C

    def nearest(self, rates: Sequence[float]) -> NDArray[np.int64]:
        """The candidates closest to these rates.

        Raises:
            ValueError: a rate lies outside the range.
        """
        x, step = np.log10(np.array(rates, float)), self.x_C[1] - self.x_C[0]
        index = np.rint((x - self.x_C[0]) / step).astype(np.int64)
        if np.any((index < 0) | (index >= len(self.x_C))):
            raise ValueError("a learning rate lies outside the range of the search")
        return index


def next_rate(
    rates: Sequence[float], crashes: Sequence[bool], pending: Sequence[float], low: float, high: float
) -> float:
    """The most informative learning rate in [low, high], the same for the same outcomes.

    Args:
        rates: of the runs that crashed or survived; each counts at the candidate next to it.
        crashes: whether the run crashed.
        pending: rates of runs that have not ended. Each counts as a run that crashed in part, as likely as the
            posterior has it: it takes away the information its outcome will bring and moves nothing.
        low: lowest rate of the search.
        high: highest.

    Raises:
        ValueError: not 0 < low < high, a rate outside, or not as many rates as outcomes.
    """
    if not 0 < low < high:
        raise ValueError(f"the range {low:g} to {high:g} is not positive and rising")
    if len(rates) != len(crashes):
        raise ValueError(f"{len(rates)} rates, {len(crashes)} outcomes")
    design = make_design(log10(low), log10(high))
    size, crashed, where = len(design.x_C), np.array(crashes, bool), design.nearest(rates)
    crashes_C = np.bincount(where[crashed], minlength=size).astype(float)
    survivals_C = np.bincount(where[~crashed], minlength=size).astype(float)
    weight_H = posterior(design.log_likelihood(crashes_C, survivals_C))
    for candidate in design.nearest(pending):
        share = float(weight_H @ design.crash_HC[:, candidate])
        crashes_C[candidate] += share
        survivals_C[candidate] += 1 - share
        weight_H = posterior(design.log_likelihood(crashes_C, survivals_C))
    best = int(np.argmin(expected_spread(design, weight_H)))
    return float(min(max(10 ** design.x_C[best], low), high))


def expected_spread(design: Design, weight_H: Floats) -> Floats:
    """The score of every candidate (..., C), less is better; `weight_H` (..., H) are posteriors, each of sum 1."""
    crash_C = np.clip(weight_H @ design.crash_HC, 1e-12, 1 - 1e-12)
    score_C = np.zeros_like(crash_C)
    for value_H, share in ((design.x50_H, 1.0), (design.log_k_H, SLOPE_SHARE)):
        centred_H = value_H - (weight_H @ value_H)[..., None]
        # The mean after a crash is sum / P, after a survival -sum / (1 - P): that before is 0.
        sum_C = (weight_H * centred_H) @ design.crash_HC
        variance = (weight_H * centred_H**2).sum(-1)[..., None]
        score_C += share * (1 - sum_C**2 / (crash_C * (1 - crash_C) * variance))
    return score_C


@lru_cache(maxsize=8)
def make_design(a: float, b: float) -> Design:
    """For a search between log10 rates a and b."""
    steps = min(max(ceil((b - a) / STEP), FEWEST), MOST)
    x_C = np.linspace(a, b, steps + 1)
    step = (b - a) / steps
    margin = ceil(MARGIN / step)
    x50 = a + step * np.arange(-margin, steps + margin + 1, dtype=float)
    x50_H, k_H = np.repeat(x50, len(SLOPES)), np.tile(SLOPES, len(x50))
    predictor_HC = k_H[:, None] * (x_C - x50_H[:, None])
    return Design(x_C, x50_H, np.log(k_H), expit(predictor_HC), log_expit(predictor_HC), log_expit(-predictor_HC))


def posterior(log_weight_H: Floats) -> Floats:
    """Weights (..., H) of sum 1."""
    weight_H = np.exp(log_weight_H - log_weight_H.max(-1, keepdims=True))
    return weight_H / weight_H.sum(-1, keepdims=True)
