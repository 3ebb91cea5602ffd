"""One run of a study: an arm with a seed, trained and recorded, its result kept with the trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna

from ptycho_mlf.config import RunConfig
from ptycho_mlf.runs.stage_a import RunOutcome, run_stage_a

from .storage import RUN_IDS

RUNS = "runs"
"""Trial attribute: per finished run its id, seed, verdict, crash and numbers."""


@dataclass(frozen=True)
class Context:
    """Where the runs of a study go."""

    study_name: str
    parent_run_id: str
    execution: Mapping[str, Any]
    """Parameters of this worker that decide how, not what is computed."""


def run_cell(trial: optuna.Trial, context: Context, config: RunConfig, arm: str, **hooks: Any) -> RunOutcome:
    """Train and record one configuration as a child of the study's run.

    Args:
        trial: its trial; the run's id is kept there from the first moment, so that a dead worker's run can be ended.
        context: where it belongs.
        config: what to train.
        arm: its name.
        hooks: further arguments of `run_stage_a`.

    Raises:
        InputError: settings that cannot be run.
    """

    def opened(run_id: str) -> None:
        trial.set_user_attr(RUN_IDS, [*trial.user_attrs.get(RUN_IDS, []), run_id])

    outcome = run_stage_a(
        config.with_changes(**context.execution),
        arm=arm,
        parent_run_id=context.parent_run_id,
        tags={"study": context.study_name, "trial": str(trial.number)},
        on_open=opened,
        **hooks,
    )
    row = {
        "run_id": outcome.run_id,
        "arm": arm,
        "seed": config.training.seed,
        "verdict": outcome.verdict.name,
        "crash": outcome.verdict.crash,
        "onset_step": outcome.verdict.onset_step,
        "numbers": dict(outcome.numbers),
    }
    trial.set_user_attr(RUNS, [*trial.user_attrs.get(RUNS, []), row])
    return outcome


def finite_skill(outcome: RunOutcome) -> float:
    """Validation skill of the last weights, from -1; a run without a finite one has no skill at all."""
    return max(outcome.numbers.get("val/skill_last", 0.0), -1.0)
