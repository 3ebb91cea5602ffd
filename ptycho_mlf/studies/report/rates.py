"""What runs at several learning rates say about an arm: thresholds of P(crash), stable range, sensitivity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..learning_rate.final_losses import Ended, FinalLosses, final_losses
from ..learning_rate.sensitivity import Sensitivity, sensitivity
from ..learning_rate.stable_range import StableRange, stable_range
from ..threshold.threshold import Threshold, fit_threshold
from .data import Member, StudyData
from .reproduce import RATE, varying

MOST_RATES = 10
"""More rates than this are shown in parts of the range."""


@dataclass(frozen=True)
class RateAnswer:
    """Of an arm that ran at several learning rates, everything else the same."""

    threshold: Threshold | None
    """None where no run counts for or against stability."""
    losses: FinalLosses | None
    """None where fewer than two rates left a validation loss."""
    stable: StableRange | None
    """None where no rate learned anything."""
    sensitivity: Sensitivity | None


def learning_rates(members: Sequence[Member]) -> list[float]:
    """All that were tried, in order."""
    return sorted({rate for member in members if (rate := member.learning_rate) is not None})


def rate_answers(data: StudyData) -> dict[str, RateAnswer]:
    """By arm, for those that ran at several learning rates and differ in nothing else."""
    several = [arm for arm in data.arms if varying(data.of(arm)) == (RATE,)]
    return {arm: _answer(data.of(arm), data.rate_range) for arm in several}


def _answer(members: Sequence[Member], searched: tuple[float, float] | None) -> RateAnswer:
    rates = learning_rates(members)
    low, high = searched or (rates[0], rates[-1])
    counted = [(rate, m.outcome == "crashed") for m in members if m.counts and (rate := m.learning_rate) is not None]
    threshold = None
    if counted:
        threshold = fit_threshold([rate for rate, _ in counted], [crashed for _, crashed in counted], low, high)
    ended = [one for member in members if (one := _ended(member)) is not None]
    if len({one.learning_rate for one in ended}) < 2:
        return RateAnswer(threshold, None, None, None)
    losses = final_losses(ended)
    return RateAnswer(threshold, losses, stable_range(losses), sensitivity(losses))


def _ended(member: Member) -> Ended | None:
    """None for a run that did not end by itself, or whose validation before training is not known."""
    rate, validations = member.learning_rate, member.validations
    if member.outcome not in ("crashed", "survived", "stagnated") or rate is None:
        return None
    if validations is None or validations.initial is None:
        return None
    return Ended(rate, member.metrics.get("val/loss_last", math.inf), validations.initial)
