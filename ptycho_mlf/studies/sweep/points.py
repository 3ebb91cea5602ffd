"""The trials of a sweep as points: settings, value as people read it, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from optuna.trial import FixedTrial, FrozenTrial, TrialState

from ptycho_mlf.config.describe import default_text
from ptycho_mlf.config.study import ENTRIES

from ..cell import RUNS
from ..training_command import training_command
from .grammar import Space
from .objective import IMPOSSIBLE, Objective, is_eligible, worst_value
from .space import suggest

Fate = Literal["healthy", "not healthy", "crashed", "given up", "impossible"]
FATES: Mapping[Fate, str] = {
    "healthy": "every seed ended healthy; only these can be the best",
    "not healthy": "no seed crashed, but one stagnated, ended on a spike or ran out of memory",
    "crashed": "at least one seed crashed; its share of the value is that of a constant object",
    "given up": "ended early because others were ahead; shown at its last value",
    "impossible": "a combination that breaks a rule of the parameters; never run",
}
SHOWN: tuple[Fate, ...] = ("healthy", "not healthy", "crashed", "given up")
"""Fates with a value."""


@dataclass(frozen=True)
class Point:
    """One trial that ended."""

    number: int
    params: Mapping[str, Any]
    """What was searched, as far as it was used."""
    value: float | None
    """Mean validation skill or validation loss; None of an impossible point."""
    fate: Fate
    verdicts: tuple[str, ...]
    run_ids: tuple[str, ...]

    def text(self) -> str:
        """Its settings on one line."""
        return ", ".join(f"{name}={shown(value)}" for name, value in self.params.items())


def points_of(trials: Sequence[FrozenTrial], objective: Objective) -> list[Point]:
    """All trials that ended with a result, by number."""
    ended = [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    return [_point(trial, objective) for trial in sorted(ended, key=lambda trial: trial.number)]


def settings_of(params: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """All settings of a point that was run, without what only made the search cheap."""
    cheap = ENTRIES["sweep"].run_defaults
    every = suggest(FixedTrial(dict(params)), space)
    return {name: value for name, value in every.items() if name not in cheap}


def command_of(params: Mapping[str, Any], space: Space) -> str:
    """The command that trains a point again and keeps everything."""
    return training_command(settings_of(params, space))


def shown(value: object) -> str:
    """A setting for people."""
    return f"{value:.3g}" if isinstance(value, float) else default_text(value)


def _point(trial: FrozenTrial, objective: Objective) -> Point:
    runs = trial.user_attrs.get(RUNS, [])
    fate = _fate(trial, runs)
    value = trial.value
    if value is not None:
        # What was given up early may lie far below a constant object: figures need not reach there.
        value = max(value, worst_value(objective))
        value = value if objective == "skill" else -value
    return Point(
        trial.number,
        trial.params,
        None if fate == "impossible" else value,
        fate,
        tuple(run["verdict"] for run in runs),
        tuple(run["run_id"] for run in runs),
    )


def _fate(trial: FrozenTrial, runs: Sequence[Mapping[str, Any]]) -> Fate:
    if IMPOSSIBLE in trial.user_attrs:
        return "impossible"
    if trial.state == TrialState.PRUNED:
        return "given up"
    if any(run["crash"] for run in runs):
        return "crashed"
    return "healthy" if is_eligible(trial) else "not healthy"
