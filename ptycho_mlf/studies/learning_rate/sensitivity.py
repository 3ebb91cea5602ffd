"""Learning-rate sensitivity: what a rate drawn at random from the range costs on average.

After M. Wortsman et al., Small-scale proxies for large-scale transformer training instabilities, 2023,
arXiv:2309.14322.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.integrate import trapezoid

from .final_losses import FinalLosses


@dataclass(frozen=True)
class Sensitivity:
    """The mean loss above the best one over a range of learning rates. The range is part of the result."""

    s: float
    """S, in units of the loss."""
    normalised: float | None
    """S / (l0 - l*): 0 = any rate is as good as the best, 1 = none learns; None where none learned at all."""
    low: float
    """Lowest learning rate of the range."""
    high: float
    """Highest learning rate of the range."""


def sensitivity(losses: FinalLosses) -> Sensitivity:
    """S: the mean over x = log10(rate) of l - l*, by the trapezoid rule, averaged over seeds.

    The mean over the seeds of a rate is taken first: with the same seeds at every rate that is the mean over seeds of
    their S, and it has a meaning where every run has a seed of its own. l* is the lowest median.
    """
    x, loss = np.array(losses.x_R), np.array(losses.l_mean_R)
    s = float(trapezoid(loss - losses.l_star, x) / (x[-1] - x[0]))
    normalised = s / (losses.l0 - losses.l_star) if losses.learned else None
    return Sensitivity(s, normalised, float(10 ** x[0]), float(10 ** x[-1]))
