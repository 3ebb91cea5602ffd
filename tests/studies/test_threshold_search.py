"""The search through Optuna, with trainings replaced by draws from a known curve: what it asks, when it ends."""

from __future__ import annotations

import math
import random

import optuna
import pytest
from optuna.trial import TrialState

from ptycho_mlf.studies.cell import RUNS, Context
from ptycho_mlf.studies.compose import threshold_plan
from ptycho_mlf.studies.study import counts, enqueue
from ptycho_mlf.studies.threshold_search import ThresholdSearch

LR50, SLOPE = 1e-2, 8.0


def search(**values: str) -> ThresholdSearch:
    return ThresholdSearch(
        threshold_plan({"optimizer": "adam|sgd", "lr_low": "1e-4", "lr_high": "1", "range_test": "false", **values})
    )


def begin(kind: ThresholdSearch, study: optuna.Study) -> optuna.Trial:
    trial = study.ask()
    for name, distribution in kind.distributions().items():
        trial._suggest(name, distribution)
    return trial


def numbers(**values: float) -> list[dict]:
    return [{"verdict": "nonfinite", "crash": True, "numbers": values}]


def outcome(rate: float, draw: float) -> str:
    p = 1 / (1 + math.exp(-SLOPE * math.log10(rate / LR50)))
    return "flat_amplitude" if draw < p else "healthy"


def finish(study: optuna.Study, trial: optuna.Trial, verdict: str) -> None:
    crash = {"flat_amplitude": True, "healthy": False, "stagnated": None}[verdict]
    trial.set_user_attr(RUNS, [{"arm": trial.params["arm"], "verdict": verdict, "crash": crash, "numbers": {}}])
    study.tell(trial, 0.0)


def run(kind: ThresholdSearch, verdicts=outcome) -> optuna.Study:
    study = optuna.create_study(sampler=kind.sampler())
    draws = random.Random(1)
    while kind.wants_more(study):
        trial = begin(kind, study)
        finish(study, trial, verdicts(trial.params["learning_rate"], draws.random()))
    return study


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def test_finds_the_threshold_of_every_arm_and_ends_on_its_interval():
    kind = search(interval_width="0.5")
    known = kind.runs(run(kind))
    assert set(known) == {"stable_hybrid-adam", "stable_hybrid-sgd"}
    for runs in known.values():
        threshold = kind._fit(runs)
        assert 12 <= runs.begun < 60
        assert 2 * threshold.half_width <= 0.5
        assert threshold.lr50_interval.low < LR50 < threshold.lr50_interval.high
        assert len(set(runs.rates)) > 3


def test_every_trial_has_a_seed_of_its_own():
    trials = run(search(max_trials="10")).trials
    assert len({trial.params["repeat"] for trial in trials}) == len(trials) == 20


def test_arms_take_turns():
    kind = search(max_trials="6")
    arms = [trial.params["arm"] for trial in run(kind).trials]
    assert arms[::2] == ["stable_hybrid-adam"] * 6
    assert arms[1::2] == ["stable_hybrid-sgd"] * 6


def test_workers_that_run_at_once_do_not_ask_the_same():
    kind = search()
    study = optuna.create_study(sampler=kind.sampler())
    running = [begin(kind, study).params for _ in range(6)]
    for arm in ("stable_hybrid-adam", "stable_hybrid-sgd"):
        rates = [values["learning_rate"] for values in running if values["arm"] == arm]
        assert len(set(rates)) == 3


def test_runs_that_learned_nothing_count_in_no_probability_and_are_not_asked_again():
    kind = search(max_trials="12")
    study = run(kind, lambda rate, draw: "stagnated" if rate < 1e-3 else outcome(rate, draw))
    runs = kind.runs(study)["stable_hybrid-adam"]
    assert len(runs.rates) + len(runs.placed) == 12
    assert all(rate >= 1e-3 for rate in runs.rates)
    assert len(runs.placed) < 6


def test_a_failed_trial_is_no_run():
    kind = search(max_trials="3")
    study = optuna.create_study(sampler=kind.sampler())
    study.tell(begin(kind, study), state=TrialState.FAIL)
    assert sum(runs.begun for runs in kind.runs(study).values()) == 0
    assert kind.wants_more(study)


def test_the_command_repeats_the_arm_at_the_rate_rounded_down():
    kind = search(N="32", clip_algorithm="norm")
    command = kind._command("stable_hybrid-sgd", 0.004567)
    assert command.startswith("mlflow run . -e stage_a -P ")
    for word in ("-P optimizer=sgd", "-P N=32", "-P clip_algorithm=norm", "-P learning_rate=0.0045"):
        assert word in command
    assert "keep" not in command


def test_a_search_begins_where_the_ramp_of_its_arm_diverged():
    kind = search(range_test="true")
    study = optuna.create_study(sampler=kind.sampler())
    enqueue(study, kind.cells())
    first, second = begin(kind, study), begin(kind, study)
    assert [trial.params["range_test"] for trial in (first, second)] == [True, True]
    assert first.params["arm"] != second.params["arm"]
    first.set_user_attr(RUNS, numbers(**{"range_test/lr_diverged": 0.123}))
    study.tell(first, 0.0)
    rates = {trial.params["arm"]: trial.params["learning_rate"] for trial in (begin(kind, study) for _ in range(2))}
    assert rates[first.params["arm"]] == 0.123
    assert rates[second.params["arm"]] == pytest.approx(1e-2)
    assert kind.runs(study)[first.params["arm"]].begun == 1


def test_a_trial_that_is_one_too_many_is_no_result():
    kind = search(optimizer="adam", max_trials="2")
    study = optuna.create_study(sampler=kind.sampler())
    for _ in range(2):
        begin(kind, study)
    late = begin(kind, study)
    with pytest.raises(optuna.TrialPruned, match="as many trials as there may be"):
        kind.run(late, Context("s", "p", {}))
    assert not counts(study.get_trials()[-1])
