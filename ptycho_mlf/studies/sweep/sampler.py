"""The sampler of a sweep: a tree-structured Parzen estimator that is seeded afresh for every trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from ptycho_mlf.quiet import quiet


class TrialSeededTPE(BaseSampler):
    """TPE over groups of parameters that are used together (Falkner et al. 2018), trials that still run counted as bad.

    A sampler with one seed would draw the same points in every worker, and others after a restart. Here the draw
    depends on the seed, the number of the trial and the trials before it. Constraints that trials have set are kept.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._tpe = self._fresh(0)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Seed for this trial."""
        self._tpe = self._fresh(trial.number)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As TPE does."""
        return self._tpe.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As TPE does."""
        return self._tpe.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As TPE does."""
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """As TPE does."""
        self._tpe.after_trial(study, trial, state, values)

    def _fresh(self, number: int) -> TPESampler:
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        with quiet():  # Optuna calls `group` experimental: it is what conditional parameters need.
            return TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)
