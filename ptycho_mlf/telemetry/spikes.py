"""Spike events in a series of losses or norms: values far above the median of what came before.

A spike at step t: L_t > median + 7 sigma of the previous W steps, sigma = 1.4826 MAD, W = min(1000, t), W >= 50. The
robust form of the spike score of OLMo 2 (2024, arXiv:2501.00656), so that short runs and the spikes themselves do not
move the bound.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

SIGMAS = 7.0
WINDOW, LEAST = 1000, 50
"""Most previous steps that are looked at, and fewest."""
MAD_TO_SIGMA = 1.4826
"""For normally distributed values."""


def spike_steps(values: ArrayLike, start: int = 0) -> NDArray[np.int64]:
    """Positions of spikes from `start` on. NaN is no spike; an infinity is one."""
    series = np.asarray(values, float)
    found = [t for t in range(max(start, LEAST), len(series)) if _is_spike(series, t)]
    return np.array(found, np.int64)


def median_and_sigma(values: ArrayLike) -> tuple[float, float]:
    """Median and 1.4826 MAD of the finite values; NaN without any."""
    finite = np.asarray(values, float)
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return np.nan, np.nan
    median = float(np.median(finite))
    return median, MAD_TO_SIGMA * float(np.median(np.abs(finite - median)))


def _is_spike(series: NDArray[np.float64], t: int) -> bool:
    median, sigma = median_and_sigma(series[max(0, t - WINDOW) : t])
    return bool(series[t] > median + SIGMAS * sigma)
