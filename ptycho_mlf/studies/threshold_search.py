"""The search for LR50 as a kind of study: every trial is a new seed at the rate that tells most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from ptycho_mlf.config.study import ENTRIES
from ptycho_mlf.runs.json_files import finite, write_json

from .cell import RUNS, Context, finite_skill, run_cell
from .plan import StudyPlan
from .report.estimates import Estimates
from .study import counts, refuse_surplus
from .threshold.next_rate import next_rate
from .threshold.sentences import rounded_down, sentences
from .threshold.stopping import reason_to_stop
from .threshold.threshold import Threshold, fit_threshold
from .training_command import training_command

_RATE, _ARM, _REPEAT, _RAMP = "learning_rate", "arm", "repeat", "range_test"
_DIVERGED = "range_test/lr_diverged"
_MOST_SEEDS = 1_000_000
FEWEST_RUNS = 12
"""No search ends on its interval before so many runs count: a narrow interval of a few is chance."""


@dataclass
class ArmRuns:
    """What is known of one arm so far."""

    rates: list[float] = field(default_factory=list[float])
    """Of the runs that count, as crash or as survival."""
    crashes: list[bool] = field(default_factory=list[bool])
    placed: list[tuple[float, bool]] = field(default_factory=list[tuple[float, bool]])
    """Runs that learned nothing or had no memory: no part of a probability. For the choice of the next rate alone they
    stand as survivors, or the search would ask there again and again."""
    pending: list[float] = field(default_factory=list[float])
    begun: int = 0
    diverged: float | None = None
    """Where the range test did: a hint where to begin."""


class ThresholdSearch:
    """The value of a trial is its validation skill; what the sampler learns from is whether it crashed."""

    queue_only = False

    def __init__(self, plan: StudyPlan) -> None:
        self._plan = plan
        self._low, self._high = plan.settings["lr_low"], plan.settings["lr_high"]

    def cells(self) -> list[dict[str, Any]]:
        """The range tests. Every other trial depends on those before."""
        if not self._plan.settings["range_test"]:
            return []
        return [{_ARM: arm, _RAMP: True, _RATE: self._high, _REPEAT: 0} for arm in self._plan.arms]

    def expected(self) -> int:
        """The whole budget; most searches end earlier."""
        return self._plan.settings["max_trials"] * len(self._plan.arms) + len(self.cells())

    def sampler(self) -> BaseSampler:
        """The rate that tells most, for the arm that has had the fewest runs."""
        return ThresholdSampler(self)

    def wants_more(self, study: optuna.Study) -> bool:
        """Whether an arm's interval is too wide and its budget not used up."""
        return bool(self.open_arms(self.runs(study)))

    def run(self, trial: optuna.Trial, context: Context) -> float:
        """Train the arm once, at the chosen rate, with a seed of its own; or once up to the highest rate."""
        values = {name: trial._suggest(name, distribution) for name, distribution in self.distributions().items()}
        changes, role = {_RATE: values[_RATE]}, ""
        if values[_RAMP]:
            role = _RAMP
            changes |= {"scheduler": "Ramp", "lr_min_ratio": self._low / self._high, "stop_on": "none"}
        else:
            most = self._plan.settings["max_trials"]
            refuse_surplus(trial, most, lambda t: t.params.get(_ARM) == values[_ARM] and not t.params.get(_RAMP))
        config = self._plan.config(values[_ARM], **changes)
        seeded = config.with_changes(seed=config.training.seed + values[_REPEAT])
        return finite_skill(run_cell(trial, context, seeded, values[_ARM], role=role))

    def distributions(self) -> dict[str, Any]:
        """Of the values of a trial."""
        return {
            _ARM: CategoricalDistribution(list(self._plan.arms)),
            _RAMP: CategoricalDistribution([False, True]),
            _RATE: FloatDistribution(self._low, self._high, log=True),
            _REPEAT: IntDistribution(0, _MOST_SEEDS),
        }

    def runs(self, study: optuna.Study) -> dict[str, ArmRuns]:
        """What is known of every arm."""
        known, names = {arm: ArmRuns() for arm in self._plan.arms}, self.distributions().keys()
        for trial in study.get_trials(deepcopy=False):
            if counts(trial) and trial.params.keys() == names:  # One that has just begun has no values yet.
                _add(known[trial.params[_ARM]], trial)
        return known

    def open_arms(self, known: Mapping[str, ArmRuns]) -> list[str]:
        """Arms that want more runs, those with the fewest first."""
        wanting = [arm for arm, runs in known.items() if not self._settled(runs)]
        return sorted(wanting, key=lambda arm: known[arm].begun)

    def next_rate(self, runs: ArmRuns) -> float:
        """The most informative rate given what ended and what still runs; the first one is where a ramp diverged."""
        if not runs.begun and runs.diverged is not None:
            return min(max(runs.diverged, self._low), self._high)
        rates = [*runs.rates, *(rate for rate, _ in runs.placed)]
        crashes = [*runs.crashes, *(crash for _, crash in runs.placed)]
        return next_rate(rates, crashes, runs.pending, self._low, self._high)

    def conclude(self, study: optuna.Study, found: Estimates, folder: Path) -> list[str]:
        """Write thresholds.json; returns the command of every arm that has a rate to use."""
        document: dict[str, Any] = {"settings": dict(self._plan.settings), "arms": {}}
        lines: list[str] = []
        for arm, runs in self.runs(study).items():
            threshold, answer = self._fit(runs), found.rates.get(arm)
            command = None if threshold.usable is None else self._command(arm, threshold.usable)
            document["arms"][arm] = threshold.record() | {
                "not_counted": len(runs.placed),
                "range_test_diverged": runs.diverged,
                "ended_by": reason_to_stop(threshold, self._plan.settings["interval_width"]) or "budget",
                "sentences": sentences(threshold),
                "stable_range": asdict(answer.stable) if answer and answer.stable else None,
                "sensitivity": asdict(answer.sensitivity) if answer and answer.sensitivity else None,
                "command": command,
            }
            if command is not None:
                lines.append(f"To train {arm} at its rate:\n  {command}")
        write_json(folder / "thresholds.json", finite(document))
        return lines

    def _settled(self, runs: ArmRuns) -> bool:
        if runs.begun >= self._plan.settings["max_trials"]:
            return True
        if len(runs.rates) < FEWEST_RUNS:
            return False
        return reason_to_stop(self._fit(runs), self._plan.settings["interval_width"]) is not None

    def _fit(self, runs: ArmRuns) -> Threshold:
        return _fitted(tuple(runs.rates), tuple(runs.crashes), self._low, self._high)

    def _command(self, arm: str, rate: float) -> str:
        """How to train this arm at a safe rate, with everything kept."""
        cheap = ENTRIES["lr_threshold"].run_defaults
        settings = {name: value for name, value in self._plan.arms[arm].items() if name not in cheap}
        settings["learning_rate"] = float(f"{rounded_down(rate):.2g}")
        return training_command(settings)


class ThresholdSampler(BaseSampler):
    """Chooses arm, rate and seed of a trial from all trials before, ended or not."""

    def __init__(self, search: ThresholdSearch) -> None:
        self._search = search

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Arm, rate and number of the seed."""
        return self._search.distributions()

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The rate of the largest expected information; the seed is the number of the trial, so never used before."""
        known = self._search.runs(study)
        wanting = self._search.open_arms(known)
        arm = wanting[0] if wanting else min(known, key=lambda name: known[name].begun)
        return {_ARM: arm, _RAMP: False, _RATE: self._search.next_rate(known[arm]), _REPEAT: trial.number}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Never asked: all values are chosen together."""
        raise RuntimeError(f"{param_name}: a threshold search has no such value")


@lru_cache(maxsize=1024)
def _fitted(rates: tuple[float, ...], crashes: tuple[bool, ...], low: float, high: float) -> Threshold:
    """Asked for again and again while other arms run."""
    return fit_threshold(rates, crashes, low, high)


def _add(runs: ArmRuns, trial: FrozenTrial) -> None:
    if trial.params[_RAMP]:
        if trial.state == TrialState.COMPLETE:
            runs.diverged = trial.user_attrs[RUNS][0]["numbers"].get(_DIVERGED)
        return
    runs.begun += 1
    rate = trial.params[_RATE]
    if trial.state != TrialState.COMPLETE:
        runs.pending.append(rate)
        return
    crash = trial.user_attrs[RUNS][0]["crash"]
    if crash is None:
        runs.placed.append((rate, False))
    else:
        runs.rates.append(rate)
        runs.crashes.append(crash)
