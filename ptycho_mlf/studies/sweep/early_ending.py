"""Early ending of points that others have beaten: successive halving on the validations of the first seed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import optuna
from optuna.pruners import BasePruner, NopPruner, SuccessiveHalvingPruner

from .objective import Objective, running_value

if TYPE_CHECKING:
    from ptycho_mlf.training.recorder import EpochRow

REDUCTION = 3
"""One in so many goes on at every rung."""


def make_pruner(epochs: int, early_ending: bool) -> BasePruner:
    """Asynchronous successive halving, the inner loop of Hyperband (Li et al. 2018 and 2020).

    There is one bracket: Hyperband's others split the trials, and a sampler with a few dozen of them learns nothing.
    The first rung lies at a quarter of the training, behind the automatic warm-up; before it, a low rate only
    looks slow.
    """
    if not early_ending:
        return NopPruner()
    return SuccessiveHalvingPruner(min_resource=max(1, math.ceil(epochs / 4)), reduction_factor=REDUCTION)


class EarlyEnding:
    """Tells the study of every validation, and asks whether the training is worth going on."""

    def __init__(self, trial: optuna.Trial, objective: Objective) -> None:
        self._trial = trial
        self._objective: Objective = objective
        self._best = -math.inf

    def __call__(self, row: EpochRow, skill: float) -> bool:
        """Whether to give the training up after this epoch."""
        self._best = max(self._best, running_value(self._objective, row.val_loss, skill))
        self._trial.report(self._best, step=row.epoch)
        return self._trial.should_prune()
