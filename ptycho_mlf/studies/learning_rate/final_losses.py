"""The final loss over the learning rate: what stable range and sensitivity are read from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ended:
    """How one training ended."""

    learning_rate: float
    """Peak learning rate."""
    last_loss: float
    """Validation loss at the end; NaN or infinite after a non-finite training."""
    initial_loss: float
    """Validation loss at initialisation."""


@dataclass(frozen=True)
class FinalLosses:
    """l = min(last, initial), or initial where last is not finite, over x = log10 of the learning rate.

    A training that ends worse than it began has learned nothing, however much worse it is.
    """

    x_R: tuple[float, ...]
    """log10 of the rates, increasing."""
    l_med_R: tuple[float, ...]
    """Median over the seeds of a rate."""
    l_mean_R: tuple[float, ...]
    """Mean over the same seeds."""
    l0: float
    """Median of the initial losses: what a training ends with that learns nothing."""
    n_R: tuple[int, ...]
    """Seeds of each rate."""

    @property
    def l_star(self) -> float:
        """The lowest median: the best rate there is."""
        return min(self.l_med_R)

    @property
    def learned(self) -> bool:
        """Whether any rate ends below the initial loss."""
        return self.l_star < self.l0


def final_losses(runs: Iterable[Ended]) -> FinalLosses:
    """Group runs by their learning rate.

    Raises:
        ValueError: fewer than two learning rates, a rate that is not positive, or an initial loss that is not finite.
    """
    by_rate: dict[float, list[float]] = {}
    initial: list[float] = []
    for run in runs:
        if not (math.isfinite(run.learning_rate) and run.learning_rate > 0):
            raise ValueError(f"{run.learning_rate} is no learning rate")
        if not math.isfinite(run.initial_loss):
            raise ValueError(f"an initial loss of {run.initial_loss} says nothing")
        finite = math.isfinite(run.last_loss)
        by_rate.setdefault(run.learning_rate, []).append(
            min(run.last_loss, run.initial_loss) if finite else run.initial_loss
        )
        initial.append(run.initial_loss)
    if len(by_rate) < 2:
        raise ValueError("at least two learning rates are needed")
    rates = sorted(by_rate)
    return FinalLosses(
        x_R=tuple(math.log10(rate) for rate in rates),
        l_med_R=tuple(float(np.median(by_rate[rate])) for rate in rates),
        l_mean_R=tuple(float(np.mean(by_rate[rate])) for rate in rates),
        l0=float(np.median(initial)),
        n_R=tuple(len(by_rate[rate]) for rate in rates),
    )
