"""What a point of a sweep is worth: the mean over its seeds, from validation only, and always a finite number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from optuna.trial import FrozenTrial, TrialState

Objective = Literal["skill", "val_loss"]

HEALTH = "health"
"""Constraint: 0 where every seed ended healthy; a point above that is not eligible."""
IMPOSSIBLE = "impossible"
"""Trial attribute: why a combination cannot be run; such a point is neither a crash nor a result."""
_WORST = -1e6
"""Of a validation on the way that is not finite."""
_LEAST_VIOLATION = 1e-3
_LOSS_OF_NOTHING = 1.0
"""Validation loss of predicting zero: the worst there is to say of a point without any loss."""


def seed_value(objective: Objective, run: Mapping[str, Any]) -> float:
    """The value of one ended run, to be maximised: the skill, or minus the validation loss, of its best weights.

    A crashed run is worth what the best constant object is worth, however good it was before, and no run is worth
    less: so a diverged loss does not drown the mean, and NaN never reaches the sampler.

    Args:
        objective: what is looked at.
        run: verdict, crash and numbers of the run.
    """
    numbers: Mapping[str, float] = run["numbers"]
    constant = 0.0 if objective == "skill" else -numbers.get("floor/best", _LOSS_OF_NOTHING)
    name = "val/skill_best" if objective == "skill" else "val/loss_best"
    if run["crash"] or run["verdict"] == "oom" or name not in numbers:
        return constant
    value = numbers[name] if objective == "skill" else -numbers[name]
    return max(value, constant)


def running_value(objective: Objective, val_loss: float, skill: float) -> float:
    """The same of a validation on the way, for comparisons between trainings: finite, and the higher the better."""
    value = skill if objective == "skill" else -val_loss
    return max(value, _WORST) if math.isfinite(value) else _WORST


def point_value(objective: Objective, runs: Sequence[Mapping[str, Any]]) -> float:
    """Mean over the seeds of a point."""
    return sum(seed_value(objective, run) for run in runs) / len(runs)


def violation(runs: Sequence[Mapping[str, Any]]) -> float:
    """How far a point is from healthy: the mean over its seeds, 0..1.

    A healthy seed adds 0 and a crashed one 1. In between lies a seed that learned too little or ended on a spike: it
    adds its lowest validation loss relative to that of the initial weights, so that a search in which nothing is
    healthy yet knows where to go.
    """
    return sum(_violation(run) for run in runs) / len(runs)


def _violation(run: Mapping[str, Any]) -> float:
    numbers: Mapping[str, float] = run["numbers"]
    if run["verdict"] == "healthy":
        return 0.0
    if run["crash"] or not {"val/loss_best", "val/loss_initial"} <= numbers.keys():
        return 1.0
    return min(1.0, max(_LEAST_VIOLATION, numbers["val/loss_best"] / numbers["val/loss_initial"]))


def worst_value(objective: Objective) -> float:
    """Of a point that cannot be run."""
    return 0.0 if objective == "skill" else -_LOSS_OF_NOTHING


def is_eligible(trial: FrozenTrial) -> bool:
    """Whether a trial may be the best: it went to its end, and every seed was healthy."""
    done = trial.state == TrialState.COMPLETE and IMPOSSIBLE not in trial.user_attrs
    return done and trial.constraints.get(HEALTH, 1.0) <= 0


def best_point(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The eligible trial with the highest value; None while there is none."""
    return max((t for t in trials if is_eligible(t)), key=lambda t: t.value or 0.0, default=None)
