"""The verdict of a run: what became of the training, from its own data. Pure functions on what was recorded."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .course import Course
from .end_state import FLOOR_SHARE, bound, end_state
from .hint import hint
from .skill import loss_skill
from .verdict_names import CRASHES, SURVIVORS, VerdictName
from .verdict_onset import Trigger, onset, smoothed, trigger
from .verdict_sentence import sentence

WORSE_THAN_ZERO = 1.0
"""The validation loss of predicting nothing at all."""
RISE = 1.5
"""A loss this many times its minimum has risen."""
FINAL_STEPS = 100
"""Steps over which a collapse must hold at validations in a row to be final."""


@dataclass(frozen=True)
class Verdict:
    """Exactly one per ended run."""

    name: VerdictName
    sentence: str
    """One sentence for people."""
    onset_step: int | None = None
    """First step after which the state held until the end; None where there is none."""
    trigger: Trigger | None = None
    """The largest spike within two epochs before the onset."""
    cause: tuple[str, ...] = ()
    """A saturated head or dead layers beside a bad end state."""
    warnings: tuple[str, ...] = ()
    """The same without a bad end state."""
    hint: str | None = None
    """What to try."""
    spike_score: dict[str, float | None] = field(default_factory=dict[str, float | None])
    """Spikes per eligible step, in %, by trace column; None for a trace too short to tell."""
    evidence: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def crash(self) -> bool | None:
        """The crash indicator C. None where a run counts neither as crashed nor as survived: oom, stagnated."""
        if self.name in CRASHES:
            return True
        return False if self.name in SURVIVORS else None

    def as_json(self) -> dict[str, Any]:
        """For verdict.json."""
        return {**asdict(self), "cause": list(self.cause), "warnings": list(self.warnings), "crash": self.crash}


def judge(course: Course, *, out_of_memory: bool = False) -> Verdict:
    """Give the verdict; the first rule that matches wins.

    Args:
        course: what was recorded; without any validation only oom and nonfinite can be told.
        out_of_memory: the training ended because an allocation failed.

    Raises:
        ValueError: a training that ended in order without any validation.
    """
    steps = len(course.rows)
    if out_of_memory:
        return _made(course, "oom", f"An allocation failed after {steps} steps: it needs more memory.", steps)
    broken = course.nonfinite_step
    if broken is not None:
        what = f"The loss, the gradient norm or the update was not finite at step {broken}"
        return _made(course, "nonfinite", f"{what}; the weights were frozen there.", broken)
    if not course.validations:
        raise ValueError("a verdict needs a validation")
    name = _name(course)
    return _made(course, name, sentence(name, course), _onset(name, course))


def running_verdict(course: Course) -> VerdictName:
    """What the verdict would be if the training ended now."""
    return "nonfinite" if course.nonfinite_step is not None else _name(course)


def is_final(course: Course) -> bool:
    """Whether no more training will change the verdict.

    It is not finite, or a flat amplitude, input independence or a lost result has been seen at validations in a row
    that lie at least 100 steps apart. A network that is flat because it has not begun to learn is left alone.
    """
    if course.nonfinite_step is not None:
        return True
    if not course.validations or course.not_begun():
        return False
    held = 0
    for state in reversed(course.states()):
        if not state.collapsed:
            break
        held += 1
    return held > 1 and course.validations[-1].step - course.validations[-held].step >= FINAL_STEPS


def _name(course: Course) -> VerdictName:
    last, best = course.validations[-1], course.best()
    state = end_state(last, best, course.references)
    before = best if course.initial is None else min(best, course.initial.loss)
    not_begun = course.not_begun()
    rules: list[tuple[VerdictName, bool]] = [
        ("diverged", last.loss > WORSE_THAN_ZERO and last.loss > RISE * before),
        ("saturated_head", state.saturated_head and state.bad),
        ("flat_amplitude", state.flat_amplitude and not not_begun),
        ("input_independent", state.input_independent and not not_begun),
        ("flat_phase", state.flat_phase and not not_begun),
        ("lost", state.lost),
        ("dead_layer", bool(state.dead_places) and state.at_floor),
        ("stagnated", state.stagnated),
        ("spike", last.loss > RISE * best),
    ]
    for name, holds in rules:
        if holds:
            return name
    return "healthy"


def _onset(name: VerdictName, course: Course) -> int | None:
    """Validations bracket the onset, batches tell the step where they show the state."""
    if name in ("stagnated", "healthy"):
        return None
    rows, references = course.rows, course.references
    loss = smoothed(rows["loss"]) if course.loss_is_mae else None
    flat = smoothed(rows["contrast_spatial"]) < bound(references.spatial)
    same = smoothed(rows["contrast_cross_pattern"]) < bound(references.cross_pattern)
    at_floor = None if loss is None else loss >= FLOOR_SHARE * references.floor
    states, validations, best = course.states(), course.validations, course.best()
    batches: NDArray[np.bool_] | None = None
    match name:
        case "flat_amplitude":
            shows, batches = [s.flat_amplitude for s in states], flat
        case "input_independent":
            shows, batches = [s.input_independent for s in states], same
        case "lost":
            shows, batches = [s.lost for s in states], at_floor
        case "diverged":
            shows = [v.loss > WORSE_THAN_ZERO and v.loss > RISE * best for v in validations]
            shows[-1] = True
            batches = None if loss is None else loss > WORSE_THAN_ZERO
        case "spike":
            shows, batches = [v.loss > RISE * best for v in validations], None
        case "flat_phase":
            shows = [s.flat_phase for s in states]
        case "saturated_head":
            shows, batches = [s.saturated_head and s.bad for s in states], flat
        case _:  # a dead layer
            shows, batches = [bool(s.dead_places) and s.at_floor for s in states], at_floor
    return onset(batches, list(zip([v.step for v in validations], shows, strict=True)))


def _made(course: Course, name: VerdictName, text: str, begun: int | None) -> Verdict:
    """The verdict with everything around it."""
    beside: list[str] = []
    bad = name in CRASHES or name == "stagnated"
    if course.validations:
        state = end_state(course.validations[-1], course.best(), course.references)
        beside += ["saturated_head"] * (state.saturated_head and name != "saturated_head")
        beside += [f"dead_layer: {place}" for place in state.dead_places]
    return Verdict(
        name,
        text,
        onset_step=begun,
        trigger=None if begun is None or not len(course.rows) else trigger(begun, course.rows, course.spikes),
        cause=tuple(beside) if bad else (),
        warnings=() if bad else tuple(beside),
        hint=_hint(name, course),
        spike_score={series: spikes.score for series, spikes in course.spikes.items()},
        evidence=_evidence(course),
    )


def _hint(name: VerdictName, course: Course) -> str | None:
    if not course.validations or not len(course.rows):
        return None
    last, floor, best = course.validations[-1].loss, course.references.floor, course.best()
    start = best if course.initial is None else min(best, course.initial.loss)
    return hint(name, skill=loss_skill(last, floor), rise=last / start, learning_rate=float(course.rows["lr"].max()))


def _evidence(course: Course) -> dict[str, Any]:
    references = course.references
    evidence: dict[str, Any] = {"floor": references.floor, "validations": len(course.validations)}
    evidence["val_initial"] = None if course.initial is None else course.initial.loss
    if course.validations:
        last = course.validations[-1]
        evidence |= {
            "val_best": course.best(),
            "val_last": last.loss,
            "contrast_spatial": last.spatial,
            "contrast_spatial_truth": references.spatial,
            "contrast_cross_pattern": last.cross_pattern,
            "contrast_cross_pattern_truth": references.cross_pattern,
            "contrast_phase": last.phase,
            "contrast_phase_truth": references.phase,
            "head_saturation": last.head_saturation,
            "dead_channels": dict(last.dead_channels),
        }
    return evidence
