"""What a verdict says, in one sentence for people."""

from __future__ import annotations

from .course import Course
from .end_state import end_state
from .skill import loss_skill


def sentence(verdict: str, course: Course) -> str:
    """For a verdict that is given on validations: every one but oom and nonfinite."""
    last, best, references = course.validations[-1], course.best(), course.references
    floor = references.floor
    loss = f"validation loss {last.loss:.3g} against {floor:.3g} for the best constant object"

    losses = f"validation loss {last.loss:.3g} after {best:.3g} at its best"

    def against(value: float, truth: float | None, unit: str = "") -> str:
        return f"{value:.2g}{unit}" + ("" if truth is None else f" against {truth:.2g}{unit} in the truth")

    match verdict:
        case "diverged":
            return f"The training diverged: {losses}, worse than predicting nothing (1)."
        case "saturated_head":
            share = f"{last.head_saturation:.1%} of its outputs are at a bound"
            return f"The bounded output head is saturated, {share}; {loss}."
        case "flat_amplitude":
            contrast = against(last.spatial, references.spatial)
            return f"The network predicts a flat amplitude: contrast {contrast}; {loss}."
        case "input_independent":
            varies = against(last.cross_pattern, references.cross_pattern)
            return f"The network predicts the same picture for every pattern: variation {varies}; {loss}."
        case "flat_phase":
            return f"The network predicts a flat phase: {against(last.phase, references.phase, ' rad')}; {loss}."
        case "lost":
            return f"The network had learned (validation loss {best:.3g}) and lost it: {loss}."
        case "dead_layer":
            places = end_state(last, best, references).dead_places
            return f"Every channel of {', '.join(places)} is dead, and nothing was learned: {loss}."
        case "stagnated":
            return f"The network never learned: {loss}, {best:.3g} at its best."
        case "spike":
            return f"The training ended on a spike: {losses}."
        case _:
            skill = f"skill {loss_skill(last.loss, floor):.2f} over the best constant object"
            return f"No collapse seen: validation loss {last.loss:.3g}, {skill}."
