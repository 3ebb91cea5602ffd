"""From the parameters of `sweep` to the plan of its study."""

from __future__ import annotations

from collections.abc import Mapping

from ptycho_mlf.config import InputError
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
        InputError: a value or range that is not valid, one that nothing uses, a space without a possible point, or
            losses that do not compare.
    """
    own = {name for _, name, _, _ in study_parameters("sweep")}
    given = {name: text for name, text in values.items() if name not in own}
    defaults = {name: str(value) for name, value in ENTRIES["sweep"].run_defaults.items()}
    space = complete(parse_space({**defaults, **given}))
    search = read_section("sweep", SweepConfig, values)
    if search.objective == "val_loss" and space.data_ranges():
        name = space.data_ranges()[0]
        raise InputError(
            f"{name}={space.ranges[name].text()}: losses on different data do not compare; search with objective=skill"
        )
    # Unlike the seeds of an arm, these make a point what it is: points of one and of three seeds do not compare.
    settings = {SEEDS_PER_POINT: read_section("sweep", SeedsConfig, values).seeds}
    settings |= read_section("sweep", BudgetConfig, values).model_dump()
    settings |= search.model_dump()
    return StudyPlan("sweep", "sweep", {}, settings, space=space.texts())
