"""What a point is worth: finite whatever happened, no worse than a constant, and never the best with a crash."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from ptycho_mlf.studies.sweep.objective import (
    HEALTHY,
    IMPOSSIBLE,
    best_point,
    point_value,
    running_value,
    seed_value,
    unhealthy_share,
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


def test_a_point_is_the_mean_of_its_seeds_and_unhealthy_with_any():
    seeds = [run(**GOOD), run("nonfinite", True), run("spike", False, **GOOD), run(**GOOD)]
    assert point_value("skill", seeds) == pytest.approx(0.6)
    assert point_value("val_loss", seeds) == pytest.approx(-(0.05 * 3 + 0.25) / 4)
    assert unhealthy_share(seeds) == 0.5


@pytest.mark.parametrize("loss", [math.nan, math.inf, 1e30])
def test_a_loss_on_the_way_is_finite(loss: float):
    assert running_value("skill", loss, 1 - loss / 0.25) == 0.0
    assert running_value("val_loss", loss, 1 - loss / 0.25) == -1.0


def test_the_best_point_went_to_its_end_with_healthy_seeds():
    study = optuna.create_study(direction="maximize")

    def add(state: TrialState, value: float | None, unhealthy: float | None, **attributes: Any) -> None:
        constraints = {} if unhealthy is None else {HEALTHY: unhealthy}
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
