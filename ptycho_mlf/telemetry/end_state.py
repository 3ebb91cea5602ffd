"""The states in which a training can end badly, as conditions on one validation. The bounds are project choices."""

from __future__ import annotations

from dataclasses import dataclass

from .signals import References, Signals

FLAT_SHARE = 0.1
"""Contrast below this share of the truth's is flat."""
FLAT_WITHOUT_TRUTH = 0.01
"""The bound that stands in for it where the true object is not known."""
FLAT_ABSOLUTE = 1e-3
"""Spatial contrast below this is flat whatever the loss, unless the true object is as flat."""
PHASE_PRESENT = 1e-3
"""rad; below this the true object has no phase that could be missed."""
FLOOR_SHARE = 0.9
"""A loss above this share of the constant-object floor is no better than a constant's."""
LEARNED_SHARE = 0.5
"""A loss below this share of the floor has been learned."""
SATURATED = 0.99
"""Share of outputs at a bound above which a head is saturated."""
DEAD = 0.99
"""Share of dead channels above which a place is dead."""


@dataclass(frozen=True)
class EndState:
    """Which conditions one validation meets."""

    flat_amplitude: bool
    input_independent: bool
    flat_phase: bool
    lost: bool
    stagnated: bool
    saturated_head: bool
    """On its own no bad state."""
    dead_places: tuple[str, ...]
    """On their own no bad state."""
    at_floor: bool
    """No better than a constant object."""

    @property
    def collapsed(self) -> bool:
        """A state from which a training does not come back."""
        return self.flat_amplitude or self.input_independent or self.lost

    @property
    def bad(self) -> bool:
        """Nothing usable was predicted."""
        return self.collapsed or self.flat_phase or self.stagnated


def bound(reference: float | None) -> float:
    """Contrast below which an amplitude counts as flat or as the same for every pattern."""
    return FLAT_WITHOUT_TRUTH if reference is None else FLAT_SHARE * reference


def end_state(seen: Signals, best_loss: float, references: References) -> EndState:
    """The state at one validation.

    Args:
        seen: the validation.
        best_loss: the smallest validation loss up to and with it.
        references: of the same data.
    """
    floor = references.floor
    at_floor = seen.loss >= FLOOR_SHARE * floor
    flat = bound(references.spatial)
    has_phase = references.phase is not None and references.phase > PHASE_PRESENT
    return EndState(
        flat_amplitude=(seen.spatial < flat and at_floor) or seen.spatial < min(FLAT_ABSOLUTE, flat),
        input_independent=seen.cross_pattern < bound(references.cross_pattern) and at_floor,
        flat_phase=has_phase and seen.phase < FLAT_SHARE * (references.phase or 0.0),
        lost=best_loss < LEARNED_SHARE * floor and at_floor,
        stagnated=best_loss > FLOOR_SHARE * floor,
        saturated_head=seen.head_saturation is not None and seen.head_saturation > SATURATED,
        dead_places=tuple(place for place, share in seen.dead_channels.items() if share > DEAD),
        at_floor=at_floor,
    )
