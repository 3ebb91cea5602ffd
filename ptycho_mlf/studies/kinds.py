"""What the kinds of study have in common for a worker, and where each is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.samplers import BaseSampler

from .cell import Context
from .plan import StudyPlan
from .report.estimates import Estimates


class Kind(Protocol):
    """A kind of study. Each is a class built from the plan."""

    queue_only: bool
    """Whether only enqueued cells are run; else the sampler is asked as long as `wants_more`."""

    def sampler(self) -> BaseSampler:
        """What chooses the next trial."""
        ...

    def wants_more(self, study: optuna.Study) -> bool:
        """Whether another trial should be begun beyond those that wait."""
        ...

    def expected(self) -> int:
        """How many results there will be at most."""
        ...

    def cells(self) -> list[dict[str, Any]]:
        """What is queued at the beginning."""
        ...

    def conclude(self, study: optuna.Study, found: Estimates, folder: Path) -> list[str]:
        """Write what only this kind knows as artifacts; returns what was found, in sentences."""
        ...

    def run(self, trial: optuna.Trial, context: Context) -> float:
        """Run one trial and return its value."""
        ...


def kind_of(plan: StudyPlan) -> Kind:
    """The kind of a plan's study."""
    if plan.kind == "lr_threshold":
        from .threshold_search import ThresholdSearch

        return ThresholdSearch(plan)
    if plan.kind == "sweep":
        from .sweep.search import Sweep

        return Sweep(plan)
    from .arms_study import ArmsStudy

    return ArmsStudy(plan)
