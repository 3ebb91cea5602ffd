"""A study in its storage: created once, joined by many, its trials counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError, TrialPruned
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from ptycho_mlf.config import InputError
from ptycho_mlf.tracking.store import shown_url

from .code_version import code_version
from .plan import StudyPlan

PLAN, CODE, PARENT, TRACKING, HEARTBEAT, QUEUED = "plan", "code", "parent_run", "tracking_uri", "heartbeat", "queued"
"""Attributes of a study. QUEUED: its queue has been filled; before that an empty queue means nothing."""
_OTHER = "code of others "
"""Begin of the attributes that name other versions of the code, which were allowed to work on it."""
SURPLUS = "surplus"
"""Attribute of a trial that was asked for when nothing was left to run; it is no result."""
CELL = "cell"
"""Attribute of a trial that was queued: its values, known before it runs."""


def create_or_continue(
    name: str, plan: StudyPlan, storage: RDBStorage, sampler: BaseSampler, allow_other_code: bool
) -> optuna.Study:
    """The study of that name: new, or there with the same plan, of which seeds and budget may differ.

    Raises:
        InputError: it exists with other settings, or was begun by another version of the code.
    """
    try:
        study = optuna.create_study(study_name=name, storage=storage, sampler=sampler, direction="maximize")
    except DuplicatedStudyError:
        study = optuna.load_study(study_name=name, storage=storage, sampler=sampler)
    if PLAN in study.user_attrs:
        plan_of(study).check_same(plan, name)
        check_code(study, allow_other_code)
    else:  # New, or its first process died right here.
        study.set_user_attr(CODE, code_version())
        study.set_user_attr(PLAN, plan.to_json())
    return study


def find_study(name: str, storage: RDBStorage) -> optuna.Study:
    """A study that exists, with no sampler of its own yet.

    Raises:
        InputError: there is none with this name; those that are there are named. Or it was never begun.
    """
    try:
        study = optuna.load_study(study_name=name, storage=storage, sampler=optuna.samplers.RandomSampler())
    except KeyError:
        there = ", ".join(sorted(optuna.get_all_study_names(storage))[:10]) or "none"
        where = shown_url(storage.url)
        missing = f"not in {where}; there" if name else f"must name one of those in {where}"
        raise InputError(f"study={name}: {missing}: {there}") from None
    if PLAN not in study.user_attrs:
        raise not_begun(name)
    return study


def not_begun(name: str) -> InputError:
    """What is wrong with a study whose own entry point never got as far as its queue."""
    return InputError(f"study={name}: it has not begun; start it with its own entry point")


def plan_of(study: optuna.Study) -> StudyPlan:
    """What the study computes."""
    return StudyPlan.from_json(study.user_attrs[PLAN])


def check_code(study: optuna.Study, allow_other_code: bool) -> None:
    """Refuse to mix the results of several versions of the code, or note that this one was allowed to.

    Raises:
        InputError: this is not the code that began the study; all versions that worked on it are named.
    """
    began, here = study.user_attrs[CODE], code_version()
    if began == here:
        return
    # One attribute for each, since several processes may add theirs at once.
    others = sorted(name.removeprefix(_OTHER) for name in study.user_attrs if name.startswith(_OTHER))
    if not allow_other_code:
        then = f", worked on by {', '.join(others)}" if others else ""
        raise InputError(
            f"study={study.study_name}: begun by code {began}{then}, this is {here}; "
            "check that version out, or pass allow_other_code=true"
        )
    if here not in others:
        study.set_user_attr(f"{_OTHER}{here}", True)


def enqueue(study: optuna.Study, cells: Sequence[Mapping[str, Any]]) -> int:
    """Queue the cells that no trial of the study has yet; failed ones are queued again.

    Returns:
        How many are new.
    """
    new = _without(cells, [trial for trial in study.get_trials(deepcopy=False) if counts(trial)])
    for cell in new:
        study.enqueue_trial(dict(cell), user_attrs={CELL: dict(cell)})
    return len(new)


def missing_cells(study: optuna.Study, cells: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The cells without a result."""
    return _without(cells, results(study))


def _without(cells: Sequence[Mapping[str, Any]], trials: Sequence[FrozenTrial]) -> list[Mapping[str, Any]]:
    there = {_key(trial.user_attrs[CELL]) for trial in trials if CELL in trial.user_attrs}
    return [cell for cell in cells if _key(cell) not in there]


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial is a result, or will be one."""
    return trial.state != TrialState.FAIL and SURPLUS not in trial.user_attrs


def refuse_surplus(trial: optuna.Trial, most: int, alike: Callable[[FrozenTrial], bool] = lambda _: True) -> None:
    """End a trial that the request of another worker has made one too many.

    Args:
        trial: which has just begun.
        most: how many there may be.
        alike: whether a trial is one of those that are counted.

    Raises:
        TrialPruned: as many have begun before; the trial is marked as surplus.
    """
    before = [t for t in trial.study.get_trials(deepcopy=False) if t.number < trial.number and counts(t) and alike(t)]
    if len(before) >= most:
        trial.set_user_attr(SURPLUS, True)
        raise TrialPruned("as many trials as there may be have begun")


def results(study: optuna.Study) -> list[FrozenTrial]:
    """Trials with a result, pruned ones included."""
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    return [trial for trial in study.get_trials(deepcopy=False, states=ended) if counts(trial)]


def open_trials(study: optuna.Study) -> Counter[TrialState]:
    """How many wait and run."""
    return Counter(t.state for t in study.get_trials(deepcopy=False, states=(TrialState.WAITING, TrialState.RUNNING)))


def _key(values: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(values.items()))
