"""From an entry point's parameters to the plan of a study."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from ptycho_mlf.config import InputError, RunConfig, parameters
from ptycho_mlf.config.knob import trait
from ptycho_mlf.config.study import (
    ENTRIES,
    ArmsConfig,
    BudgetConfig,
    SeedsConfig,
    ThresholdConfig,
    read_section,
    study_parameters,
)

from .arms import Arm, arm_config, find_arms, impossible_reason
from .plan import StudyPlan, changed_from_default

CHOICE = "|"
"""Separates the values of a parameter of which each makes an arm of its own."""


def split_execution(values: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """What decides the result, and what only decides how it is computed."""
    how = {name for _, name, field in parameters() if trait(field, "execution_only")}
    return (
        {name: value for name, value in values.items() if name not in how},
        {name: value for name, value in values.items() if name in how},
    )


def arms_plan(entry: str, values: Mapping[str, str]) -> StudyPlan:
    """The plan of `arms`, `stage_b` and `crash_hunt`.

    Args:
        entry: which of them.
        values: what was given on the command line, without parameters of execution.

    Raises:
        InputError: an unknown arm, or a value or combination that is not valid.
    """
    arms, impossible = _arms(entry, values)
    seeds = read_section(entry, SeedsConfig, values)
    return StudyPlan(entry, "arms", arms, seeds.model_dump(), impossible)


def threshold_plan(values: Mapping[str, str]) -> StudyPlan:
    """The plan of `lr_threshold`.

    Raises:
        InputError: as `arms_plan`; a learning rate, which is what is searched; an empty range; or only impossible arms.
    """
    if "learning_rate" in values:
        raise InputError(
            f"learning_rate={values['learning_rate']}: it is what lr_threshold searches; give lr_low and lr_high"
        )
    search = read_section("lr_threshold", ThresholdConfig, values)
    if search.lr_low >= search.lr_high:
        raise InputError(f"lr_low={search.lr_low:g}: must be less than lr_high={search.lr_high:g}")
    arms, impossible = _arms("lr_threshold", values)
    plain = StudyPlan("lr_threshold", "lr_threshold", arms, {})
    for arm, rate in itertools.product(arms, (search.lr_low, search.lr_high)):
        try:
            plain.config(arm, learning_rate=rate)
        except InputError as error:  # Refused now rather than by a trial.
            raise InputError(f"{error}; so {arm} cannot be searched there") from None
    settings = search.model_dump() | read_section("lr_threshold", BudgetConfig, values).model_dump()
    return StudyPlan("lr_threshold", "lr_threshold", arms, settings, impossible)


def _arms(entry: str, values: Mapping[str, str]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """By name: the parameters of every arm that can exist, and the reason of every arm that cannot."""
    choice = read_section(entry, ArmsConfig, values)
    own = {name for _, name, _, _ in study_parameters(entry)}
    overrides = {name: value for name, value in values.items() if name not in own}
    named = find_arms(choice.arms, choice.variant) if choice.arms else None
    defaults = ENTRIES[entry].run_defaults
    arms: dict[str, dict[str, Any]] = {}
    impossible: dict[str, str] = {}
    for variation in _variations(overrides):
        base = named or [Arm(_architecture(variation), {})]
        for arm in base:
            settings = {**defaults, **arm.settings}
            varied = Arm(_name(arm.name, variation, overrides), settings)
            reason = impossible_reason(varied, variation)
            if reason:
                impossible[varied.name] = reason
            else:
                arms[varied.name] = changed_from_default(arm_config(varied, variation))
    if not arms:
        raise InputError(f"arms={choice.arms}: none of them can exist: {'; '.join(impossible.values())}")
    return arms, impossible


def _variations(overrides: Mapping[str, str]) -> list[dict[str, str]]:
    """Every combination of the values that are separated by `|`."""
    lists = [[(name, value) for value in _choices(name, str(text))] for name, text in overrides.items()]
    return [dict(combination) for combination in itertools.product(*lists)]


def _choices(name: str, text: str) -> list[str]:
    values = [value.strip() for value in text.split(CHOICE)]
    if CHOICE in text and name == "seed":
        raise InputError(f"seed={text}: seeds are repeated, and no arms of their own; give the first one alone")
    if CHOICE in text and "" in values:
        raise InputError(f"{name}={text}: an empty choice")
    if len(set(values)) < len(values):
        raise InputError(f"{name}={text}: the same choice twice")
    return values


def _architecture(variation: Mapping[str, str]) -> str:
    return str(variation.get("architecture", RunConfig().model.architecture))


def _name(arm: str, variation: Mapping[str, str], overrides: Mapping[str, str]) -> str:
    """The arm's name with the values that tell it from its siblings, such as `hybrid-sgd-clip_value=0.1`."""
    varied = [name for name, text in overrides.items() if CHOICE in str(text) and variation[name] != arm]
    return "-".join([arm, *(_word(name, variation[name]) for name in varied)])


def _word(name: str, value: str) -> str:
    """`sgd` speaks for itself; `0.1` and `true` do not."""
    return value if value[0].isalpha() and value not in ("true", "false") else f"{name}={value}"
