"""What a verdict looks at: the signals of one validation, and what they are held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Signals:
    """One validation."""

    step: int
    """Steps taken before it."""
    loss: float
    """Validation `mae`, whatever the training minimises."""
    spatial: float
    """k_A: spatial contrast of the predicted amplitude."""
    cross_pattern: float
    """k_X: variation of the predicted amplitude from pattern to pattern."""
    phase: float
    """k_P: standard deviation of the predicted phase after plane removal, rad."""
    head_saturation: float | None
    """Share of bounded outputs at a bound, 0..1; None for an unbounded head."""
    dead_channels: Mapping[str, float]
    """Share of dead channels, 0..1, by place."""


@dataclass(frozen=True)
class References:
    """What the data of the run itself offer for comparison. Contrasts are None where the true object is not known."""

    floor: float
    """The smallest validation loss that a constant object reaches."""
    spatial: float | None
    cross_pattern: float | None
    phase: float | None
    """rad."""
