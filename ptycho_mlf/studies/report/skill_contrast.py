"""Which of two arms reconstructs better: differences of the validation skill, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from ..statistics.interval import CONFIDENCE, Interval
from ..statistics.paired import PairedValues, paired_values
from .data import Member, StudyData
from .reproduce import varying

METRIC = "val/skill_best"
ENDED = ("crashed", "survived", "stagnated")
"""Outcomes of runs whose scores tell of their arm."""


@dataclass(frozen=True)
class SkillContrast:
    """Validation skill of the best weights of one arm minus that of another, over the seeds they share."""

    first: str
    second: str
    shared: int
    left_out: int
    """Shared seeds without a finite skill in one of the arms."""
    median: float
    interval: Interval
    """Of the median, with the confidence that all pairs together need; an end is infinite where seeds are too few."""
    p_value: float
    """Of Wilcoxon's signed-rank test, times the number of pairs of arms."""

    @property
    def established(self) -> bool:
        """Whether chance alone is ruled out, at 5 % for all pairs together, by the test and by the interval."""
        return self.p_value < 1 - CONFIDENCE and self.interval.excludes(0.0)


def skill_contrasts(data: StudyData) -> list[SkillContrast]:
    """All pairs of arms that share seeds and whose own runs differ in nothing else; established ones come first."""
    skills = {arm: _by_seed(data.of(arm)) for arm in data.arms if not varying(data.of(arm))}
    pairs = [pair for pair in combinations(skills, 2) if skills[pair[0]].keys() & skills[pair[1]].keys()]
    confidence = 1 - (1 - CONFIDENCE) / max(len(pairs), 1)
    compared = [(pair, paired_values(skills[pair[0]], skills[pair[1]], confidence)) for pair in pairs]
    found = [_contrast(pair, values, len(pairs)) for pair, values in compared if values.n]
    return sorted(found, key=lambda one: (not one.established, -abs(one.median)))


def _by_seed(members: Sequence[Member]) -> dict[int, float]:
    return {int(m.seed): m.metrics.get(METRIC, math.nan) for m in members if m.seed and m.outcome in ENDED}


def _contrast(arms: tuple[str, str], found: PairedValues, pairs: int) -> SkillContrast:
    assert found.median is not None, "a pair without seeds"
    p_value = min(1.0, found.p_value * pairs)
    return SkillContrast(*arms, found.n, found.left_out, found.median, found.interval, p_value)
