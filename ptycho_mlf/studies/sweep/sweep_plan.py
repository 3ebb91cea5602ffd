"""From the parameters of `sweep` to the plan of its study."""

from __future__ import annotations

from collections.abc import Mapping

from ptycho_mlf.config.study import ENTRIES, BudgetConfig, SeedsConfig, SweepConfig, read_section, study_parameters

from ..plan import StudyPlan
from .grammar import parse_space
from .space import complete


def sweep_plan(values: Mapping[str, str]) -> StudyPlan:
    """The plan of a sweep.

    Args:
        values: what was given on the command line, without parameters of execution; every configuration parameter
            is a range, a list of choices or a fixed value.

    Raises:
        InputError: a value or range that is not valid, one that nothing uses, or a space without a possible point.
    """
    own = {name for _, name, _, _ in study_parameters("sweep")}
    given = {name: text for name, text in values.items() if name not in own}
    defaults = {name: str(value) for name, value in ENTRIES["sweep"].run_defaults.items()}
    space = complete(parse_space({**defaults, **given}))
    settings = {
        name: value
        for section in (SeedsConfig, BudgetConfig, SweepConfig)
        for name, value in read_section("sweep", section, values).model_dump().items()
    }
    return StudyPlan("sweep", "sweep", {}, settings, space=space.texts())
