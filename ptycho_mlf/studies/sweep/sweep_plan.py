"""From the parameters of `sweep` to the plan of its study."""

from __future__ import annotations

from collections.abc import Mapping

from ptycho_mlf.config.study import ENTRIES, BudgetConfig, SeedsConfig, SweepConfig, read_section, study_parameters

from ..plan import StudyPlan
from .grammar import parse_space
from .space import complete

SEEDS_PER_POINT = "seeds_per_point"
"""Setting of the plan."""


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
    # Unlike the seeds of an arm, these make a point what it is: points of one and of three seeds do not compare.
    settings = {SEEDS_PER_POINT: read_section("sweep", SeedsConfig, values).seeds}
    settings |= read_section("sweep", BudgetConfig, values).model_dump()
    settings |= read_section("sweep", SweepConfig, values).model_dump()
    return StudyPlan("sweep", "sweep", {}, settings, space=space.texts())
