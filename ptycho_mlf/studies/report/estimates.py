"""The numbers of a report: counts and intervals, differences between arms, quality over seeds, time to failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from ..statistics.interval import CONFIDENCE, Interval
from ..statistics.paired import paired_crashes
from ..statistics.proportion import Proportion, newcombe, wilson
from ..statistics.spread import SeedSpread, Spread, spread, spread_over_seeds
from ..statistics.survival import Life, SurvivalCurve, kaplan_meier
from .data import Member, StudyData
from .rates import RateAnswer, learning_rates, rate_answers
from .reproduce import varying
from .skill_contrast import ENDED, SkillContrast, skill_contrasts

Weights = Literal["best", "last"]
MEASURES: Mapping[str, str] = {
    "val/skill_{}": "validation skill",
    "test/{}/ssim_amp": "SSIM amplitude",
    "test/{}/ssim_phase": "SSIM phase",
}
"""Metric, for the weights to be filled in, to its name. More is better for all."""


@dataclass(frozen=True)
class Stability:
    """What became of the runs of an arm."""

    arm: str
    runs: int
    verdicts: Mapping[str, int]
    """How often each verdict occurs; pruned runs are left out."""
    pruned: int
    without_verdict: int
    crash: Proportion
    """Crashed of crashed and survived. Stagnated, out of memory, pruned and unknown ones are no part of it."""
    rates: Mapping[float, Proportion]
    """The same by learning rate."""
    varying: tuple[str, ...] = ()
    """Parameters besides the seed in which the runs differ: then they are no cell, and their share no probability."""


@dataclass(frozen=True)
class Contrast:
    """Crash probability of one arm minus that of another."""

    first: str
    second: str
    difference: float
    interval: Interval | None
    """Newcombe's, with the confidence that all pairs together need; None where seeds are shared."""
    shared: int
    """Seeds in both arms: then McNemar's test decides."""
    only_first: int
    only_second: int
    p_value: float | None
    """Of McNemar's exact test, times the number of pairs of arms; None without shared seeds."""

    @property
    def established(self) -> bool:
        """Whether chance alone is ruled out, at 5 % for all pairs together."""
        if self.p_value is not None:
            return self.p_value < 1 - CONFIDENCE
        return self.interval is not None and self.interval.excludes(0.0)


@dataclass(frozen=True)
class Quality:
    """Scores of an arm, and what the last weights lose against the best; None where no run of any arm has the score."""

    arm: str
    best: Mapping[str, SeedSpread | None]
    last: Mapping[str, SeedSpread | None]
    gap: Mapping[str, Spread | None]
    """Best minus last of the runs that have both."""

    def scores(self, weights: Weights) -> Mapping[str, SeedSpread | None]:
        """By measure."""
        return self.best if weights == "best" else self.last


@dataclass(frozen=True)
class Estimates:
    """All numbers of a report."""

    stability: list[Stability]
    contrasts: list[Contrast]
    quality: list[Quality]
    skill: list[SkillContrast]
    survival: dict[str, SurvivalCurve]
    rates: dict[str, RateAnswer]
    """Of arms that ran at several learning rates."""

    @property
    def mixed(self) -> bool:
        """Whether there are arms whose runs differ in more than the seed."""
        return any(one.varying for one in self.stability)


def estimate(data: StudyData) -> Estimates:
    """Everything, once."""
    return Estimates(
        stability=stabilities(data),
        contrasts=contrasts(data),
        quality=qualities(data),
        skill=skill_contrasts(data),
        survival=survival_curves(data),
        rates=rate_answers(data),
    )


def stabilities(data: StudyData) -> list[Stability]:
    """One per arm, in order."""
    return [_stability(arm, data.of(arm)) for arm in data.arms]


def contrasts(data: StudyData) -> list[Contrast]:
    """All pairs of arms whose runs differ in nothing but the seed; pairs that are established come first.

    Differences are tested on shared seeds where there are any: the same seed is the same data order and the same
    initial weights, so two arms on it are no independent samples.
    """
    arms = [arm for arm in data.arms if any(m.counts for m in data.of(arm)) and len(learning_rates(data.of(arm))) == 1]
    pairs = list(combinations(arms, 2))
    found = [_contrast(first, second, data, len(pairs)) for first, second in pairs]
    return sorted(found, key=lambda one: (not one.established, -abs(one.difference)))


def qualities(data: StudyData) -> list[Quality]:
    """One per arm, in order. Runs that were given up, or ended without a verdict, are left out."""
    there = {metric for member in data.members for metric in member.metrics}
    return [_quality(arm, data.of(arm), there) for arm in data.arms]


def lives(members: Sequence[Member]) -> list[Life]:
    """Onset of every crash; runs that did not crash are censored at their last step.

    A crash without an onset counts at the last step, where it was seen. Runs out of memory, given up, or without a
    verdict are left out.
    """
    found: list[Life] = []
    for member in members:
        if member.outcome == "crashed":
            step = member.steps if member.onset_step is None else member.onset_step
            found += [] if step is None else [Life(step, True)]
        elif member.outcome in ("survived", "stagnated") and member.steps is not None:
            found.append(Life(member.steps, False))
    return found


def survival_curves(data: StudyData) -> dict[str, SurvivalCurve]:
    """Kaplan-Meier curves of the arms that have runs to tell from."""
    return {arm: kaplan_meier(own) for arm in data.arms if (own := lives(data.of(arm)))}


def ranking(found: Sequence[Quality]) -> list[tuple[str, Spread]]:
    """Arms by the median validation skill of their best weights over all seeds, best first."""
    skills = [(one.arm, spread_.all) for one in found if (spread_ := one.best["validation skill"]) is not None]
    return sorted(skills, key=lambda row: -(row[1].median if row[1].median is not None else float("-inf")))


def _stability(arm: str, members: Sequence[Member]) -> Stability:
    judged = [member for member in members if member.outcome not in ("pruned", "none")]
    rates = {rate: _crash([m for m in members if m.learning_rate == rate]) for rate in learning_rates(members)}
    return Stability(
        arm=arm,
        runs=len(members),
        verdicts=Counter(member.verdict for member in judged if member.verdict),
        pruned=sum(member.outcome == "pruned" for member in members),
        without_verdict=sum(member.outcome == "none" for member in members),
        crash=_crash(members),
        rates=rates,
        varying=varying(members),
    )


def _crash(members: Sequence[Member]) -> Proportion:
    return wilson(sum(m.outcome == "crashed" for m in members), sum(m.counts for m in members))


def _contrast(first: str, second: str, data: StudyData, pairs: int) -> Contrast:
    a, b = ([m for m in data.of(arm) if m.counts] for arm in (first, second))
    p, q = _crash(a), _crash(b)
    by_seed = [{int(m.seed): m.outcome == "crashed" for m in own if m.seed} for own in (a, b)]
    paired = paired_crashes(*by_seed)
    interval = None
    if not paired.n:
        interval = newcombe((p.k, p.n), (q.k, q.n), 1 - (1 - CONFIDENCE) / pairs).interval
    return Contrast(
        first=first,
        second=second,
        difference=p.k / p.n - q.k / q.n,
        interval=interval,
        shared=paired.n,
        only_first=paired.only_first,
        only_second=paired.only_second,
        p_value=min(1.0, paired.p_value * pairs) if paired.n else None,
    )


def _quality(arm: str, members: Sequence[Member], there: Set[str]) -> Quality:
    ended = [m for m in members if m.outcome in ENDED]
    scores: dict[str, dict[str, SeedSpread | None]] = {"best": {}, "last": {}}
    gap: dict[str, Spread | None] = {}
    for metric, name in MEASURES.items():
        for weights, of_weights in scores.items():
            values = [member.metrics.get(metric.format(weights)) for member in ended]
            crashed = [member.outcome == "crashed" for member in ended]
            known = metric.format(weights) in there
            of_weights[name] = spread_over_seeds(values, crashed, better="higher") if known else None
        pairs = [(m.metrics.get(metric.format("best")), m.metrics.get(metric.format("last"))) for m in ended]
        losses = [best - last for best, last in pairs if best is not None and last is not None]
        gap[name] = spread(losses) if losses else None
    return Quality(arm, scores["best"], scores["last"], gap)
