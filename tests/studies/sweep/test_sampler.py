"""The sampler: reproducible, different in every worker, and away from points that are not healthy."""

from __future__ import annotations

import math
from pathlib import Path

import optuna
import pytest

from ptycho_mlf.studies.sweep.grammar import parse_space
from ptycho_mlf.studies.sweep.sampler import TrialSeededTPE
from ptycho_mlf.studies.sweep.space import suggest

optuna.logging.set_verbosity(optuna.logging.ERROR)
SPACE = parse_space({"learning_rate": "log:1e-5..1e-1", "optimizer": "adam|sgd", "momentum": "0.1..0.9"})


def unhealthy_above(limit: float):
    """A higher rate scores better, also where it is unhealthy: the best eligible points lie at the border."""

    def objective(trial: optuna.Trial) -> float:
        point = suggest(trial, SPACE)
        trial.set_constraint("health", float(point["learning_rate"] > limit))
        return 1 + math.log10(point["learning_rate"]) / 5

    return objective


def rates(seed: int, n: int, storage: str | None = None) -> list[float]:
    study = optuna.create_study(direction="maximize", sampler=TrialSeededTPE(seed), storage=storage)
    study.optimize(unhealthy_above(1e-3), n_trials=n)
    return [trial.params["learning_rate"] for trial in study.trials]


def test_the_same_seed_draws_the_same_points_also_after_a_restart(tmp_path: Path):
    whole = rates(3, 16)
    assert rates(4, 3) != whole[:3]
    storage = f"sqlite:///{tmp_path}/optuna.db"
    study = optuna.create_study(study_name="s", direction="maximize", storage=storage, sampler=TrialSeededTPE(3))
    study.optimize(unhealthy_above(1e-3), n_trials=12)
    again = optuna.load_study(study_name="s", storage=storage, sampler=TrialSeededTPE(3))
    again.optimize(unhealthy_above(1e-3), n_trials=4)
    assert [trial.params["learning_rate"] for trial in again.trials] == whole


def test_two_workers_draw_different_points(tmp_path: Path):
    storage = f"sqlite:///{tmp_path}/optuna.db"
    optuna.create_study(study_name="s", direction="maximize", storage=storage)
    workers = [optuna.load_study(study_name="s", storage=storage, sampler=TrialSeededTPE(3)) for _ in range(2)]
    trials = [worker.ask() for worker in workers for _ in range(3)]
    assert len({suggest(trial, SPACE)["learning_rate"] for trial in trials}) == 6


def test_it_learns_to_stay_where_it_is_healthy():
    """Without the constraint nine of ten late points lie above; at random one of eight in the best half decade."""
    late = [rate for seed in (1, 2) for rate in rates(seed, 45)[15:]]
    assert sum(rate > 1e-3 for rate in late) < 0.6 * len(late)
    assert sum(3e-4 < rate <= 1e-3 for rate in late) > 2 * len(late) / 8
    assert max(rate for rate in late if rate <= 1e-3) == pytest.approx(1e-3, rel=0.3)
