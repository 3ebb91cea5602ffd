"""One line per ended trial, with how many are left and for how long."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import optuna
from optuna.trial import FrozenTrial, TrialState

from ptycho_mlf.config.describe import default_text

from .cell import RUNS
from .study import counts


class Progress:
    """Tells of ended trials, each once, whoever ran them."""

    def __init__(self, study: optuna.Study, expected: Callable[[], int], show: Callable[[str], None]) -> None:
        """Begin to count.

        Args:
            study: whose trials; those that have ended already are not told of.
            expected: how many there will be at most.
            show: prints a line.
        """
        self._study, self._expected, self._show = study, expected, show
        self._told = {trial.number for trial in self._ended()}
        self._before = self._done = len([trial for trial in self._ended() if counts(trial)])
        self._began = time.monotonic()

    def look(self) -> None:
        """Tell of every trial that has ended since the last look."""
        for trial in self._new():
            self._tell(trial)

    def tell(self, trial: FrozenTrial) -> None:
        """Tell of one trial alone; those that others ended meanwhile are counted."""
        others = [other for other in self._new() if other.number != trial.number]
        self._told |= {other.number for other in others}
        self._done += sum(counts(other) for other in others)
        self._tell(trial)

    def _tell(self, trial: FrozenTrial) -> None:
        self._told.add(trial.number)
        if not counts(trial):
            if trial.state == TrialState.FAIL:
                self._show(f"trial {trial.number}: {trial.user_attrs.get('error', 'its worker ended')}")
            return
        self._done += 1
        total = self._expected()
        self._show(f"[{self._done}/{total}] {trial_text(trial)}{self._time_left(total)}")

    def _time_left(self, total: int) -> str:
        here = self._done - self._before
        if total <= self._done or not here:
            return ""
        seconds = (time.monotonic() - self._began) / here * (total - self._done)
        text = f"{seconds:.0f} s" if seconds < 100 else f"{math.ceil(seconds / 60)} min"
        return f"; at most {text} left"

    def _new(self) -> list[FrozenTrial]:
        return [trial for trial in self._ended() if trial.number not in self._told]

    def _ended(self) -> list[FrozenTrial]:
        states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        return self._study.get_trials(deepcopy=False, states=states)


def trial_text(trial: FrozenTrial) -> str:
    """A trial in words: its values and what became of its runs."""
    hidden = ("arm", "repeat")  # The arm and the seed are said anyway.
    shown = {name: value for name, value in trial.params.items() if name not in hidden and value is not False}
    values = ", ".join(f"{name}={_text(value)}" for name, value in shown.items())
    runs = trial.user_attrs.get(RUNS, [])
    arms = dict.fromkeys(run["arm"] for run in runs)
    seeds = ", ".join(str(run["seed"]) for run in runs)
    verdicts = ", ".join(run["verdict"] for run in runs) or trial.user_attrs.get("impossible", trial.state.name.lower())
    if runs and trial.state == TrialState.PRUNED:
        verdicts += ", given up for better ones"
    # How far a diverged loss went says nothing.
    skills = [
        run["numbers"]["val/skill_last"] for run in runs if "val/skill_last" in run["numbers"] and not run["crash"]
    ]
    skill = f" (skill {sum(skills) / len(skills):.3f})" if skills else ""
    head = " ".join(part for part in (*arms, f"seed {seeds}" if seeds else "", values) if part)
    return f"{head}: {verdicts}{skill}"


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else default_text(value)
