"""What a point is worth: finite whatever happened, no worse than a constant, and never the best with a crash."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from ptycho_mlf.studies.sweep.objective import (
    HEALTH,
    IMPOSSIBLE,
    best_point,
    point_value,
    running_value,
    seed_value,
    violation,
)


def run(verdict: str = "healthy", crash: bool | None = False, **numbers: float) -> dict[str, Any]:
    return {"verdict": verdict, "crash": crash, "numbers": {"floor/best": 0.25, **numbers}}


GOOD = {"val/skill_best": 0.8, "val/loss_best": 0.05}
WORSE_THAN_CONSTANT = {"val/skill_best": -3.0, "val/loss_best": 1.0}


@pytest.mark.parametrize(
    ("ended", "skill", "val_loss"),
    [
        (run(**GOOD), 0.8, -0.05),
        (run("spike", False, **GOOD), 0.8, -0.05),
        # It was good, and lost it: what it once had does not count.
        (run("lost", True, **GOOD), 0.0, -0.25),
        (run("nonfinite", True), 0.0, -0.25),
        (run("diverged", True, **WORSE_THAN_CONSTANT), 0.0, -0.25),
        (run("stagnated", None, **WORSE_THAN_CONSTANT), 0.0, -0.25),
        ({"verdict": "oom", "crash": None, "numbers": {}}, 0.0, -1.0),
    ],
)
def test_a_seed_counts_at_least_what_a_constant_does(ended: dict, skill: float, val_loss: float):
    assert seed_value("skill", ended) == skill
    assert seed_value("val_loss", ended) == val_loss


def test_a_point_is_the_mean_of_its_seeds():
    seeds = [run(**GOOD), run("nonfinite", True), run("spike", False, **GOOD), run(**GOOD)]
    assert point_value("skill", seeds) == pytest.approx(0.6)
    assert point_value("val_loss", seeds) == pytest.approx(-(0.05 * 3 + 0.25) / 4)


def test_a_point_is_eligible_with_healthy_seeds_only_and_the_others_are_ordered():
    crashed, spike = run("lost", True, **GOOD), run("spike", False, **GOOD, **{"val/loss_initial": 0.5})
    slow = run("stagnated", None, **{"val/loss_best": 0.45, "val/loss_initial": 0.5})
    oom = {"verdict": "oom", "crash": None, "numbers": {}}
    assert violation([run(**GOOD), run(**GOOD)]) == 0.0
    assert violation([crashed]) == violation([oom]) == 1.0
    assert violation([spike]) == pytest.approx(0.1)
    assert violation([slow]) == pytest.approx(0.9)
    assert violation([run(**GOOD), crashed, slow, run(**GOOD)]) == pytest.approx(1.9 / 4)


@pytest.mark.parametrize("objective", ["skill", "val_loss"])
def test_a_loss_on_the_way_is_finite(objective: Any):
    broken = [running_value(objective, loss, 1 - loss / 0.25) for loss in (math.nan, math.inf, 1e30)]
    assert all(math.isfinite(value) for value in broken)
    assert max(broken) < running_value(objective, 5.0, -19.0) < running_value(objective, 0.1, 0.6)


def test_the_best_point_went_to_its_end_with_healthy_seeds():
    study = optuna.create_study(direction="maximize")

    def add(state: TrialState, value: float | None, unhealthy: float | None, **attributes: Any) -> None:
        constraints = {} if unhealthy is None else {HEALTH: unhealthy}
        steps = {1: 0.99} if state == TrialState.PRUNED else {}
        attributes = {**attributes}
        study.add_trial(
            create_trial(
                state=state, value=value, constraints=constraints, user_attrs=attributes, intermediate_values=steps
            )
        )

    add(TrialState.COMPLETE, 0.9, 0.5)
    add(TrialState.PRUNED, 0.99, 0.0)
    add(TrialState.COMPLETE, 0.95, None)
    add(TrialState.COMPLETE, 0.97, 1.0, **{IMPOSSIBLE: "modes=99: too many"})
    add(TrialState.RUNNING, None, None)
    assert best_point(study.trials) is None
    add(TrialState.COMPLETE, 0.6, 0.0)
    add(TrialState.COMPLETE, 0.7, 0.0)
    add(TrialState.COMPLETE, 0.65, 0.0)
    found = best_point(study.trials)
    assert found is not None
    assert found.value == 0.7
