"""How much each parameter of a sweep decides about being among the best points."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from .objective import IMPOSSIBLE

FEWEST = 10
"""With fewer points nothing can be said."""
_TOP = 5
"""At least so many points count as the best."""


def importances(trials: Sequence[FrozenTrial]) -> dict[str, float]:
    """Share of every parameter, largest first, summing to 1; empty where there is too little to tell.

    Conditional PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255; arXiv:2601.20800): how differently the best tenth
    of the points, at least five, and all of them are spread over the parameter. It takes parameters that only some
    points use. Points that were given up have no final value and stay out.
    """
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE and IMPOSSIBLE not in trial.user_attrs]
    if len(done) < FEWEST or len({trial.value for trial in done}) < 2:
        return {}
    study = optuna.create_study(direction="maximize")
    study.add_trials(done)
    evaluator = PedAnovaImportanceEvaluator(target_quantile=max(0.1, _TOP / len(done)))
    with warnings.catch_warnings():
        # A choice that one point took tells little, and counts for nothing.
        warnings.filterwarnings("ignore", "Some regimes for parameter")
        # Equal values at the border make all points the best: nothing can be told, and all shares are equal.
        warnings.filterwarnings("ignore", "Target and region quantiles select the same")
        found = get_param_importances(study, evaluator=evaluator)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
