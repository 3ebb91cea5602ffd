"""Successive halving on the first seed: who goes on, counted by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import optuna
from optuna.pruners import NopPruner

from ptycho_mlf.studies.sweep.early_ending import EarlyEnding, make_pruner

optuna.logging.set_verbosity(optuna.logging.ERROR)


def row(epoch: int, loss: float) -> Any:
    return SimpleNamespace(epoch=epoch, val_loss=loss)


def ends_at(study: optuna.Study, skills: list[float]) -> int | None:
    """Train a point with these skills, epoch by epoch; the epoch it was given up after."""
    trial = study.ask()
    ending = EarlyEnding(trial, "skill")
    for epoch, skill in enumerate(skills, start=1):
        if ending(row(epoch, 1 - skill), skill):
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return epoch
    study.tell(trial, skills[-1])
    return None


def test_the_best_third_goes_on_at_every_rung():
    """24 epochs: rungs at 6 and 18. A late start is not held against anybody before the first."""
    study = optuna.create_study(direction="maximize", pruner=make_pruner(24, early_ending=True))
    rising = [0.1] * 5
    assert ends_at(study, rising + [0.5] * 19) is None
    assert ends_at(study, rising + [0.4] * 19) == 6
    assert ends_at(study, rising + [0.6] * 12 + [0.7] * 7) is None
    # Beaten at the second rung: fourth of four at 18 epochs is 0.6 < 0.7.
    assert ends_at(study, rising + [0.65] * 19) == 18
    assert ends_at(study, [0.9] * 5 + [0.0] * 19) is None
    assert ends_at(study, [-2.0, math.nan, math.inf] + [-1.0] * 21) == 6
    values = [value for trial in study.trials for value in trial.intermediate_values.values()]
    assert all(math.isfinite(value) for value in values)


def test_without_early_ending_everything_goes_on():
    assert isinstance(make_pruner(20, early_ending=False), NopPruner)
    study = optuna.create_study(direction="maximize", pruner=make_pruner(20, early_ending=False))
    assert [ends_at(study, [skill] * 20) for skill in (0.9, 0.1, 0.0)] == [None, None, None]
