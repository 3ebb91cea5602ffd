"""The plain study: every arm with every seed, each once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler

from .cell import Context, finite_skill, run_cell
from .plan import StudyPlan
from .report.estimates import Estimates

_MOST_SEEDS = 10_000


class ArmsStudy:
    """Runs what is queued; the value of a trial is its validation skill."""

    queue_only = True

    def __init__(self, plan: StudyPlan) -> None:
        self._plan = plan

    def cells(self) -> list[dict[str, Any]]:
        """All cells, seed by seed, so that a study that is cut short has something of every arm."""
        return [{"arm": arm, "repeat": k} for k in range(self._plan.settings["seeds"]) for arm in self._plan.arms]

    def expected(self) -> int:
        """Arms times seeds."""
        return len(self.cells())

    def sampler(self) -> BaseSampler:
        """Never asked for anything that counts."""
        return RandomSampler(seed=0)

    def wants_more(self, study: optuna.Study) -> bool:
        """Never: the queue is all there is."""
        return False

    def conclude(self, study: optuna.Study, found: Estimates, folder: Path) -> list[str]:
        """Nothing beyond the report."""
        return []

    def run(self, trial: optuna.Trial, context: Context) -> float:
        """One arm with one seed: the arm's own seed plus the number of the repetition."""
        arm = trial.suggest_categorical("arm", list(self._plan.arms))
        repeat = trial.suggest_int("repeat", 0, _MOST_SEEDS)
        config = self._plan.config(arm)
        seeded = config.with_changes(seed=config.training.seed + repeat)
        return finite_skill(run_cell(trial, context, seeded, arm))
