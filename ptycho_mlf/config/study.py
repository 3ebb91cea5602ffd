"""Parameters of studies: many runs that answer one question. Each entry point takes some of these sections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from .errors import InputError
from .knob import Section, knob
from .run import one_line


class StudyConfig(Section):
    """Where a study is coordinated and who works on it. Decides how, not what is computed."""

    study: str = knob(
        "",
        "Name of the study; empty = the entry's name and a digest of its settings, so that the same command continues; "
        "worker and resume need it.",
    )
    storage: str = knob(
        "",
        "Optuna storage; empty = sqlite:///optuna.db in the working folder. Several machines: postgresql://...",
    )
    workers: int = knob(
        1,
        "Processes on this machine; several get one CPU thread each. 0 = only fill the queue for workers elsewhere.",
        ge=0,
        le=256,
    )
    replicas: int = knob(
        1,
        "Trainings at once in each worker process, in threads: on a CPU that saves memory, not time. "
        "Several get one CPU thread each.",
        ge=1,
        le=256,
    )
    heartbeat: int = knob(
        20,
        "Time between two signs of life of a worker; after three missed ones its trial is run again.",
        unit="s",
        ge=1,
        le=3600,
    )
    retries: int = knob(2, "How often a trial is run again whose worker died.", ge=0, le=100)
    allow_other_code: bool = knob(False, "Let workers join or continue a study that another version of the code began.")


class ArmsConfig(Section):
    """What is compared."""

    arms: str = knob(
        "",
        "Names of arms, separated by commas, with wildcards; or a JSON file with arms of your own; "
        "empty = one arm made of the configuration parameters alone.",
    )
    variant: Literal["clean", "as_run"] = knob(
        "clean", "as_run repeats the earlier study's confounds: its switches and what was effectively in force."
    )


class SeedsConfig(Section):
    """How often everything is repeated."""

    seeds: int = knob(
        5,
        "Seeds per arm or point: seed, seed + 1, ...; more of them continue the same study, except a sweep.",
        ge=1,
        le=10_000,
    )


class BudgetConfig(Section):
    """When a search ends."""

    max_trials: int = knob(100, "Most trials: of a sweep, or per arm of a threshold search.", ge=1, le=100_000)


class ThresholdConfig(Section):
    """The search for the learning rate at which half of the trainings crash."""

    lr_low: float = knob(1e-5, "Lowest peak learning rate that is tried.", gt=0, le=1e6)
    lr_high: float = knob(1.0, "Highest peak learning rate that is tried.", gt=0, le=1e6)
    interval_width: float = knob(
        0.2,
        "The search of an arm ends when the 95 % interval of its LR50 is as narrow as this.",
        unit="decades",
        gt=0,
        le=10,
    )
    range_test: bool = knob(
        True, "Begin every arm with a training whose rate rises over the range: the search starts where it diverges."
    )


class SweepConfig(Section):
    """What a sweep looks for."""

    objective: Literal["skill", "val_loss"] = knob(
        "skill", "Validation skill over the best constant object, or the validation loss; never a test score."
    )
    early_ending: bool = knob(
        True,
        "End points that others have beaten early: successive halving on the first seed, from a quarter of its epochs "
        "on. A crash is never counted as pruned.",
    )


@dataclass(frozen=True)
class StudyEntry:
    """An entry point that runs a study."""

    sections: tuple[type[Section], ...]
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Where they differ from the declared ones."""
    run_defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Of configuration parameters; arms and the command line win."""
    without: tuple[str, ...] = ()
    """Parameters of its sections that have no meaning for it."""


_SEARCH = {"keep": "evidence", "stop_on": "collapse", "picture_epochs": 0, "gradient_stride": 0}
"""Hundreds of runs: each keeps its numbers, and ends when its verdict is final."""

ENTRIES: Mapping[str, StudyEntry] = {
    "arms": StudyEntry((ArmsConfig, SeedsConfig, StudyConfig)),
    "stage_b": StudyEntry((ArmsConfig, SeedsConfig, StudyConfig), {"arms": "stage_b/*", "seeds": 3}),
    "crash_hunt": StudyEntry((ArmsConfig, SeedsConfig, StudyConfig), {"arms": "phase9/*", "seeds": 10}, _SEARCH),
    "sweep": StudyEntry((SeedsConfig, BudgetConfig, SweepConfig, StudyConfig), {"seeds": 1}, _SEARCH),
    "lr_threshold": StudyEntry((ArmsConfig, ThresholdConfig, BudgetConfig, StudyConfig), {}, _SEARCH),
    "worker": StudyEntry((StudyConfig,), without=("workers",)),  # It is one itself.
    "resume": StudyEntry((StudyConfig,)),
}

_S = TypeVar("_S", bound=Section)


def study_parameters(entry: str) -> Iterator[tuple[type[Section], str, FieldInfo, Any]]:
    """The parameters an entry takes besides those of a run, as (section, name, field, default)."""
    found = ENTRIES[entry]
    for section in found.sections:
        for name, declared in section.model_fields.items():
            if name not in found.without:
                yield section, name, declared, found.defaults.get(name, declared.default)


def read_section(entry: str, section: type[_S], values: Mapping[str, Any]) -> _S:
    """One section from flat names and values (text is parsed); names of other sections are left alone.

    Raises:
        InputError: a value out of range.
    """
    own = {name: value for kind, name, _, value in study_parameters(entry) if kind is section}
    own |= {name: value for name, value in values.items() if name in own}
    try:
        return section.model_validate(own)
    except ValidationError as error:
        raise InputError(one_line(error, section)) from None
