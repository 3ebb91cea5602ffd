"""A kind of study whose trials do nothing, for the parts of the engine around them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler

from ptycho_mlf.config.study import StudyConfig
from ptycho_mlf.studies.cell import Context
from ptycho_mlf.studies.plan import StudyPlan
from ptycho_mlf.studies.storage import open_storage
from ptycho_mlf.studies.study import QUEUED, create_or_continue, enqueue
from ptycho_mlf.studies.worker import Worker


class NoOp:
    """Every cell once; what a trial does is up to the caller."""

    queue_only = True

    def __init__(self, count: int, does: Callable[[optuna.Trial], None] | None = None) -> None:
        self._count, self._does = count, does

    def cells(self) -> list[dict[str, Any]]:
        return [{"repeat": k} for k in range(self._count)]

    def expected(self) -> int:
        return self._count

    def sampler(self) -> BaseSampler:
        return RandomSampler(seed=0)

    def wants_more(self, study: optuna.Study) -> bool:
        return False

    def conclude(self, study: optuna.Study, found: object, folder: Path) -> list[str]:
        return []

    def run(self, trial: optuna.Trial, context: Context) -> float:
        if self._does is not None:
            self._does(trial)
        return float(trial.suggest_int("repeat", 0, 100_000))


def begin(url: str, kind: NoOp, **settings: Any) -> Worker:
    """A worker on the study of this kind: new with all cells queued, or continued."""
    storage = open_storage(StudyConfig(storage=url, **settings))
    plan = StudyPlan("arms", "arms", {"a": {}}, {"seeds": kind.expected()})
    study = create_or_continue("no-op", plan, storage, kind.sampler(), allow_other_code=True)
    enqueue(study, kind.cells())
    study.set_user_attr(QUEUED, True)
    return Worker(study, storage, kind, Context("no-op", "", {}), lambda trial: None)
