"""Which learning rate to try next: the one whose outcome tells most about where half of the runs crash.

What is known of the curve P(x) = 1 / (1 + exp(-k (x - x50))) is a posterior on a grid of x50 and log k, from a flat
prior over the range with a margin and over all slopes that matter. A candidate x is scored by what the posterior
variances are expected to be once its outcome is in, relative to what they are:

    E[Var x50] / Var x50 + SLOPE_SHARE E[Var log k] / Var log k

(Chaloner and Verdinelli, Stat. Sci. 10, 273, 1995, for Bayesian designs). The slope has a share because an interval of
x50 is as wide as the slope is small, and because LR10 lies ln(9)/k below.
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

SLOPE_SHARE = 0.15
SLOPES: Floats = np.geomspace(1.5, 20, 20, dtype=np.float64)
"""Per decade: from 10 to 90 % within 3 decades, which no search of a few hundred runs would pin down, to within 0.22, a
factor of 1.7 in the rate. The choice of rates alone takes them for granted; fit and intervals know of no limits."""
STEP = 0.025
"""Decades between candidates, at most, if the range is not very wide."""
FEWEST, MOST = 40, 240
"""Steps over the range."""
MOST_BRANCHES = 32
"""Sets of outcomes of pending runs that are weighed: all of them for five, the most likely ones for more."""
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
        pending: rates of runs that have not ended. The score is its mean over their possible outcomes.
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
    log_weight_BH = design.log_likelihood(crashes_C, survivals_C)[None]
    for candidate in design.nearest(pending):
        log_weight_BH = branches(design, log_weight_BH, int(candidate))
    total_B = np.exp(log_weight_BH - log_weight_BH.max()).sum(1)
    scores_C = expected_spread(design, posterior(log_weight_BH), total_B / total_B.sum())
    return float(min(max(10 ** design.x_C[int(np.argmin(scores_C))], low), high))


def branches(design: Design, log_weight_BH: Floats, candidate: int) -> Floats:
    """Every branch continued by a crash and by a survival at the candidate; the most likely ones are kept."""
    both_BH = np.concatenate(
        [log_weight_BH + design.log_crash_HC[:, candidate], log_weight_BH + design.log_survival_HC[:, candidate]]
    )
    total_B = np.exp(both_BH - both_BH.max()).sum(1)
    return both_BH[np.sort(np.argsort(-total_B, kind="stable")[:MOST_BRANCHES])]


def expected_spread(design: Design, weight_BH: Floats, probability_B: Floats) -> Floats:
    """The score of every candidate (C), less is better.

    Args:
        design: candidates and hypotheses.
        weight_BH: a posterior per branch, that is per set of outcomes of the pending runs; each has sum 1.
        probability_B: of the branches; sum 1.
    """
    score_C = np.zeros(len(design.x_C))
    for value_H, share in ((design.x50_H, 1.0), (design.log_k_H, SLOPE_SHARE)):
        variance_B, gain_BC = expected_gain(design, weight_BH, value_H)
        score_C += share * (1 - probability_B @ gain_BC / (probability_B @ variance_B))
    return score_C


def expected_gain(design: Design, weight_BH: Floats, value_H: Floats) -> tuple[Floats, Floats]:
    """Variance of a quantity (H) under posteriors (B, H), and what a run at each candidate is expected to take off it.

    Both have a row per posterior, the gain a column per candidate.
    """
    crash_BC = np.clip(weight_BH @ design.crash_HC, 1e-6, 1 - 1e-6)
    centred_BH = value_H - (weight_BH @ value_H)[:, None]
    # The mean after a crash is sum / P, after a survival -sum / (1 - P): that before is 0.
    sum_BC = (weight_BH * centred_BH) @ design.crash_HC
    return (weight_BH * centred_BH**2).sum(1), sum_BC**2 / (crash_BC * (1 - crash_BC))


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
