"""One run of a study: an arm with a seed, trained and recorded, its result kept with the trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import optuna

from ptycho_mlf.config import RunConfig
from ptycho_mlf.tracking.environment import ROLE

if TYPE_CHECKING:
    from ptycho_mlf.runs.stage_a import RunOutcome

RUNS = "runs"
"""Trial attribute: per finished run its id, seed, verdict, crash and numbers."""
TRIAL = "trial"
"""Tag of a run: the number of its trial."""


@dataclass(frozen=True)
class Context:
    """Where the runs of a study go."""

    study_name: str
    parent_run_id: str
    execution: Mapping[str, Any]
    """Parameters of this worker that decide how, not what is computed."""


def run_cell(
    trial: optuna.Trial, context: Context, config: RunConfig, arm: str, *, role: str = "", **hooks: Any
) -> RunOutcome:
    """Train and record one configuration as a child of the study's run.

    Args:
        trial: its trial, whose number becomes a tag, so that the runs of a dead worker are found.
        context: where it belongs.
        config: what to train.
        arm: its name.
        role: of a run that is no result of the study, such as `range_test`; reports leave it out.
        hooks: further arguments of `run_stage_a`.

    Raises:
        InputError: settings that cannot be run.
    """
    from ptycho_mlf.runs.stage_a import run_stage_a  # Imports torch: seconds, for who has nothing to train.

    outcome = run_stage_a(
        config.with_changes(**context.execution),
        arm=arm,
        parent_run_id=context.parent_run_id,
        tags={"study": context.study_name, TRIAL: str(trial.number)} | ({ROLE: role} if role else {}),
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
