"""The sweep as a kind of study: points from the sampler, each trained with every seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import TrialPruned
from optuna.samplers import BaseSampler

from ptycho_mlf.config import InputError, RunConfig, TrainingConfig

from ..cell import RUNS, Context, run_cell
from ..plan import StudyPlan
from ..report.estimates import Estimates
from ..study import counts, refuse_surplus, results
from .early_ending import EarlyEnding, make_pruner
from .grammar import parse_space
from .objective import HEALTH, IMPOSSIBLE, Objective, point_value, violation, worst_value
from .space import suggest
from .sweep_plan import SEEDS_PER_POINT

_ARM = "sweep"
"""What all runs are called: they differ in what the page of the sweep tells apart, not in name."""


class Sweep:
    """Searches the plan's space; the value of a trial is the mean of its seeds."""

    queue_only = False

    def __init__(self, plan: StudyPlan) -> None:
        self._plan = plan
        self._space = parse_space(plan.space)
        self._seeds: int = plan.settings[SEEDS_PER_POINT]
        self._most: int = plan.settings["max_trials"]
        self._objective: Objective = plan.settings["objective"]
        self._early_ending: bool = plan.settings["early_ending"]

    @property
    def _first_seed(self) -> int:
        return self._space.fixed.get("seed", TrainingConfig().seed)

    def sampler(self) -> BaseSampler:
        """TPE; the draws follow from the run seed, the number of the trial and the trials before."""
        from .sampler import TrialSeededTPE

        return TrialSeededTPE(self._first_seed)

    def wants_more(self, study: optuna.Study) -> bool:
        """Until as many trials have begun as there may be."""
        return sum(counts(trial) for trial in study.get_trials(deepcopy=False)) < self._most

    def expected(self) -> int:
        """The budget."""
        return self._most

    def cells(self) -> list[dict[str, Any]]:
        """None: every point comes from the sampler."""
        return []

    def conclude(self, study: optuna.Study, found: Estimates, folder: Path) -> list[str]:
        """Write `sweep.html` and `sweep.json`; the best point, the command for it, and what became of the others."""
        from .sweep_page import SweepResult

        result = SweepResult(self._plan, results(study))
        result.write(folder, study.study_name)
        return result.lines()

    def run(self, trial: optuna.Trial, context: Context) -> float:
        """Train one point with every seed.

        A combination that breaks a rule of the configuration is recorded as impossible and not run. Early ending
        looks at the first seed; a crash is never pruned, it is a result.

        Raises:
            TrialPruned: others have beaten it, and it had not crashed.
        """
        refuse_surplus(trial, self._most)
        settings = suggest(trial, self._space)
        try:
            config = RunConfig.from_flat(settings)
        except InputError as error:
            trial.set_user_attr(IMPOSSIBLE, str(error))
            trial.set_constraint(HEALTH, 1.0)
            return worst_value(self._objective)
        runs = self._train(trial, context, config)
        trial.set_constraint(HEALTH, violation(runs))
        return point_value(self._objective, runs)

    def _train(self, trial: optuna.Trial, context: Context, config: RunConfig) -> list[dict[str, Any]]:
        """Runs of all seeds."""
        trial.study.pruner = make_pruner(config.training.epochs, self._early_ending)
        for repeat in range(self._seeds):
            seed = self._first_seed + repeat
            prune = EarlyEnding(trial, self._objective) if repeat == 0 else None
            outcome = run_cell(trial, context, config.with_changes(seed=seed), _ARM, prune=prune)
            if outcome.pruned:
                trial.set_constraint(HEALTH, violation(trial.user_attrs[RUNS]))
                raise TrialPruned("others have beaten it")
        return trial.user_attrs[RUNS]
