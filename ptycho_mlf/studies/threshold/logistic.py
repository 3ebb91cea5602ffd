"""P(crash) as a logistic curve in log10 of the learning rate, fitted with Firth's penalty.

    P(x) = 1 / (1 + exp(-k (x - x50))),   x = log10(learning rate),   k per decade

The penalty is half the log-determinant of the Fisher information of intercept and slope (Jeffreys' prior). It keeps
the slope finite when the outcomes separate (Firth, Biometrika 80, 27, 1993; Heinze and Schemper, Stat. Med. 21, 2409,
2002). An interval holds the values whose penalised profile log-likelihood lies within `drop` of the maximum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import exp, inf

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar, root_scalar
from scipy.special import expit

from ..statistics.interval import Interval

Floats = NDArray[np.float64]

DROPS = (1.9207294103470626, 2.5119431130320447, 3.0)
"""Half the quantile of chi-square with one degree of freedom: 95, 97.5 and 98.6 %."""
LOOKS = (36, 86, 250)
"""A search that looks at its interval after every run ends where the slope happens to look steep, and would hold the
truth less often than 95 %. Firth's penalty makes up for that while the runs are few; with more of them the level of the
interval rises, so that 95 % remain: to 97.5 % for LR50, further for LR10, which hangs on the slope. Calibrated on
simulated searches."""
LOGIT_10 = -float(np.log(9))
"""logit(0.1): the linear predictor where one run in ten crashes; that of one in two is 0."""
SLOPES = 40
POSITIONS = 121
FLAT = 12.0
"""A linear predictor beyond +- this is certain: 1 - P < 1e-5."""


@dataclass(frozen=True)
class Counts:
    """Outcomes by distinct log10 rate, in rising order."""

    x: Floats
    runs: Floats
    crashes: Floats

    @classmethod
    def of(cls, log10_rates: Floats, crashed: NDArray[np.bool_]) -> Counts:
        """Count runs and crashes at each rate; both arrays have one entry per run."""
        x, where = np.unique(log10_rates, return_inverse=True)
        runs, crashes = np.bincount(where), np.bincount(where, crashed)
        return cls(x, runs.astype(float), crashes.astype(float))

    @property
    def total(self) -> int:
        """All runs."""
        return round(float(self.runs.sum()))

    @property
    def span(self) -> float:
        """Distance in decades between the smallest and the largest rate tried."""
        return float(self.x[-1] - self.x[0])

    @cached_property
    def centre(self) -> float:
        """Mean log10 rate over the runs."""
        return float(np.average(self.x, weights=self.runs))

    @cached_property
    def log_slopes(self) -> Floats:
        """From a slope that changes nothing over the rates tried to one that no two of them can tell from a step."""
        gap = float(np.diff(self.x).min())
        return np.linspace(np.log(1e-2 / self.span), np.log(20 / gap), SLOPES)


@dataclass(frozen=True)
class Curve:
    """The fitted curve."""

    x50: float
    """log10 of the rate where half of the runs crash."""
    slope: float
    """Per decade; negative where higher rates crashed less often."""
    maximum: float
    """Of the penalised log-likelihood."""

    def position(self, level: float) -> float:
        """log10 of the rate where P has this logit."""
        return self.x50 + level / self.slope


def drop(runs: int, level: float = 0.0) -> float:
    """How far below its maximum the penalised profile log-likelihood lies at the ends of an interval.

    `level` is the logit of P at the position that is asked for: 0 for LR50, and for the slope.
    """
    found = float(np.interp(runs, LOOKS, DROPS))
    return found if level else min(found, DROPS[1])


def penalised(counts: Counts, predictor_X: Floats) -> Floats:
    """Log-likelihood plus Firth's penalty of linear predictors (..., rates), over all but the last axis."""
    p = expit(predictor_X)
    likelihood = predictor_X @ counts.crashes - np.logaddexp(0, predictor_X) @ counts.runs
    weight = counts.runs * p * (1 - p)
    x = counts.x - counts.centre
    zeroth, first, second = weight.sum(-1), weight @ x, weight @ (x * x)
    # A curve so steep that no run informs about it has determinant 0, or less by rounding.
    determinant = np.maximum(zeroth * second - first**2, 1e-300)
    return likelihood + 0.5 * np.log(determinant)


def fit_curve(counts: Counts) -> Curve:
    """Maximum over all intercepts and slopes of either sign; needs two distinct rates."""
    scale, x = counts.span, counts.x - counts.centre
    magnitudes = np.exp(counts.log_slopes)
    slopes = np.concatenate([-magnitudes, magnitudes])
    # The middle of the curve at every rate tried.
    values_SX = penalised(counts, slopes[:, None, None] * (counts.x - counts.x[:, None]))
    start, middle = np.unravel_index(np.argmax(values_SX), values_SX.shape)
    slope, intercept = float(slopes[start]), -float(slopes[start] * x[middle])
    found = minimize(
        lambda point: -float(penalised(counts, point[0] + point[1] / scale * x)),
        (intercept, slope * scale),
        method="Nelder-Mead",
        options={"xatol": 1e-6, "fatol": 1e-10, "maxiter": 2000},
    )
    intercept, slope = float(found.x[0]), float(found.x[1]) / scale
    return Curve(counts.centre - intercept / slope, slope, -float(found.fun))


def profile_position(counts: Counts, position: float, level: float) -> float:
    """Largest penalised log-likelihood over slopes k > 0 when P has logit `level` at log10 rate `position`."""
    x, log_slopes = counts.x - position, counts.log_slopes
    values = penalised(counts, np.exp(log_slopes)[:, None] * x + level)
    return _refined(lambda log_slope: float(penalised(counts, exp(log_slope) * x + level)), log_slopes, values)[0]


def profile_slope(counts: Counts, slope: float) -> tuple[float, float]:
    """Largest penalised log-likelihood at a slope of either sign, and its linear predictor at the mean rate."""
    predictor = slope * (counts.x - counts.centre)
    edge = float(np.abs(predictor).max()) + FLAT
    grid = np.linspace(-edge, edge, 2 * SLOPES)
    values = penalised(counts, grid[:, None] + predictor)
    return _refined(lambda intercept: float(penalised(counts, intercept + predictor)), grid, values)


def position_interval(counts: Counts, curve: Curve, level: float, low: float, high: float) -> Interval:
    """95 % interval of the log10 rate where P has logit `level`, among rising curves.

    Looked for between `low` and `high`; an end that is not found there is infinite. Where the set has gaps its
    outermost ends are taken.
    """
    positions = np.linspace(low, high, POSITIONS)
    x_GX = counts.x - positions[:, None]
    values_KG = penalised(counts, np.exp(counts.log_slopes)[:, None, None] * x_GX + level)
    bound = curve.maximum - drop(counts.total, level)
    inside = positions[values_KG.max(0) >= bound]
    centre = min(max(curve.position(level), low), high)
    first, last = min([centre, *inside[:1]]), max([centre, *inside[-1:]])

    def excess(position: float) -> float:
        return profile_position(counts, position, level) - bound

    return Interval(
        _crossing(excess, first, positions[positions < first][::-1], -inf),
        _crossing(excess, last, positions[positions > last], inf),
    )


def slope_interval(counts: Counts, curve: Curve) -> Interval:
    """95 % interval of the slope per decade, either sign; an end beyond what the rates can resolve is infinite."""
    bound = curve.maximum - drop(counts.total)

    def excess(slope: float) -> float:
        return profile_slope(counts, slope)[0] - bound

    magnitudes = np.exp(counts.log_slopes)
    grid = np.concatenate([-magnitudes[::-1], [0.0], magnitudes])
    return Interval(
        _crossing(excess, curve.slope, grid[grid < curve.slope][::-1], -inf),
        _crossing(excess, curve.slope, grid[grid > curve.slope], inf),
    )


def _refined(value: Callable[[float], float], grid: Floats, values: Floats) -> tuple[float, float]:
    """The maximum next to the best point of the grid, and where it is."""
    best = int(np.argmax(values))
    bounds = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, len(grid) - 1)])
    found = minimize_scalar(lambda at: -value(at), bounds=bounds, method="bounded", options={"xatol": 1e-5})
    if -found.fun >= values[best]:
        return -float(found.fun), float(found.x)
    return float(values[best]), float(grid[best])


def _crossing(excess: Callable[[float], float], inside: float, outwards: Floats, open_end: float) -> float:
    """Where the excess turns negative between a point inside and the first point outwards that is not."""
    for position in outwards:
        if excess(float(position)) < 0:
            return float(root_scalar(excess, bracket=(inside, float(position)), xtol=1e-6).root)
        inside = float(position)
    return open_end
