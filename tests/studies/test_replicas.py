"""Several trainings in one process: each as it is alone, none touches another, a signal ends them all."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from ptycho_mlf.studies import arms_study
from ptycho_mlf.studies.cell import run_cell
from ptycho_mlf.studies.commands import resume, run_arms
from ptycho_mlf.studies.engine import StudyIncompleteError
from ptycho_mlf.studies.recovery import Rescue
from ptycho_mlf.studies.replicas import work_together
from ptycho_mlf.studies.study import CELL
from ptycho_mlf.studies.worker import Worker
from ptycho_mlf.telemetry.trace import read_trace
from ptycho_mlf.tracking.signals import Terminated, raise_lost

from .no_op import NoOp, begin
from .test_engine import SMALL

PATIENCE_S = 120
"""Longer than a busy machine needs: where threads wait for each other."""


@pytest.fixture
def finely_interleaved() -> Iterator[None]:
    """Threads take turns fifty times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def arms(store: Path, dataset_cache: Path) -> Callable[..., None]:
    """Runs `arms` with some parameters changed."""

    def run(**given: object) -> None:
        options = {**SMALL, "epochs": 2, "cache_dir": dataset_cache, "allow_other_code": True, **given}
        run_arms("arms", {name: str(value) for name, value in options.items()})

    return run


def trainings(study: str) -> list[Run]:
    client = MlflowClient()
    everywhere = [found.experiment_id for found in client.search_experiments()]
    return client.search_runs(everywhere, f"tags.study = '{study}' AND tags.trial LIKE '%'")


def parent(study: str) -> Run:
    client = MlflowClient()
    everywhere = [found.experiment_id for found in client.search_experiments()]
    [run] = client.search_runs(everywhere, f"tags.study = '{study}' AND tags.`study.kind` = 'arms'")
    return run


def left_behind(run: Run) -> dict[str, object]:
    """All of a run that does not tell the time: every column of its trace, its verdict, its metrics."""
    folder = Path(run.info.artifact_uri)
    trace = read_trace(folder / "trace.parquet")
    metrics = {name: value for name, value in run.data.metrics.items() if not name.startswith("time/")}
    assert {"test/last/ssim_amp", "val/skill_last"} <= set(metrics) or "verdict.onset_step" in run.data.tags
    return {
        "trace": {name: column.tobytes() for name, column in trace.columns.items()},
        "verdict": (folder / "verdict.json").read_bytes(),
        "metrics": str(sorted(metrics.items())),  # As text, for NaN is unlike itself.
        "tags": {name: run.data.tags.get(name) for name in ("verdict", "verdict.onset_step", "fingerprint", "seed")},
    }


def cell_of(run: Run) -> tuple[str, int]:
    return run.data.tags["arm"], int(run.data.tags["seed"]) - 20260128


@pytest.mark.usefixtures("finely_interleaved")
def test_each_replica_is_what_it_is_alone_and_one_that_fails_touches_no_other(arms, monkeypatch: pytest.MonkeyPatch):
    """Of four trainings two diverge to numbers that are none, and one meets an error of the program in its midst."""
    cells = {"learning_rate": "0.003|1e6", "optimizer": "adam", "seeds": 2}
    good, bad = "hybrid-learning_rate=0.003", "hybrid-learning_rate=1e6"
    arms(study="alone", **cells)
    alone = {cell_of(run): left_behind(run) for run in trainings("alone")}
    assert set(alone) == {(arm, k) for arm in (good, bad) for k in (0, 1)}

    meeting, names, broken = threading.Barrier(3), set[str](), [(good, 1)]

    def explode(*_: object) -> bool:
        raise ZeroDivisionError("in the midst")

    def together(trial: optuna.Trial, *arguments: object):
        names.add(threading.current_thread().name)
        if trial.number < 3:
            meeting.wait(PATIENCE_S)
        arm, repeat = trial.params["arm"], trial.params["repeat"]
        return run_cell(trial, *arguments, **({"prune": explode} if (arm, repeat) in broken else {}))

    monkeypatch.setattr(arms_study, "run_cell", together)
    with pytest.raises(StudyIncompleteError, match=r"1 cells have no result"):
        arms(study="together", replicas=3, **cells)
    runs = {cell_of(run): run for run in trainings("together")}
    assert runs[good, 1].info.status == "FAILED"
    assert runs.pop((good, 1)).data.tags["failure"] == "ZeroDivisionError: in the midst"
    assert names == {"replica 1", "replica 2", "replica 3"}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert {run.data.tags["pid"] for run in runs.values()} == {str(os.getpid())}
    assert {run.data.tags["verdict"] for cell, run in runs.items() if cell[0] == bad} == {"nonfinite"}

    broken.clear()
    resume({"study": "together", "allow_other_code": "true", "replicas": "2"})
    runs |= {cell_of(run): run for run in trainings("together") if run.info.status == "FINISHED"}
    assert {cell: left_behind(run) for cell, run in runs.items()} == alone
    assert parent("together").info.status == "FINISHED"


def test_a_signal_ends_all_trainings_and_gives_their_trials_back(arms, monkeypatch: pytest.MonkeyPatch):
    meeting, told = threading.Barrier(2), threading.Event()

    def meet_once(*_: object) -> bool:
        if not told.is_set():
            if meeting.wait(PATIENCE_S) == 0:
                os.kill(os.getpid(), signal.SIGTERM)
            told.set()
        return False

    monkeypatch.setattr(arms_study, "run_cell", lambda *arguments: run_cell(*arguments, prune=meet_once))
    with pytest.raises(Terminated) as caught:
        arms(study="s", seeds=3, replicas=2, epochs=2000)
    assert caught.value.signal is signal.SIGTERM
    runs = [*trainings("s"), parent("s")]
    assert [(run.info.status, run.data.tags["failure"]) for run in runs] == [("KILLED", "SIGTERM")] * 3
    assert all((Path(run.info.artifact_uri) / "trace.parquet").exists() for run in trainings("s"))
    study = optuna.load_study(study_name="s", storage="sqlite:///optuna.db")
    assert Counter(trial.state.name for trial in study.trials) == {"FAIL": 2, "WAITING": 3}
    assert not any(thread.name.startswith("replica") for thread in threading.enumerate())


@pytest.fixture
def replicas(tmp_path: Path) -> Callable[..., list[Worker]]:
    """Workers on one study of trials that do little."""

    def of(count: int, kind: NoOp) -> list[Worker]:
        return [begin(f"sqlite:///{tmp_path}/optuna.db", kind) for _ in range(count)]

    return of


def outcome(worker: Worker) -> Counter[str]:
    return Counter(trial.state.name for trial in worker.study.get_trials() if CELL in trial.user_attrs)


def test_every_cell_is_run_once_and_errors_end_only_the_replica_that_meets_three(replicas):
    begun, ended = threading.Barrier(3), threading.Event()
    failing, met = list[str](), list[str]()

    def does(trial: optuna.Trial) -> None:
        me = threading.current_thread().name
        if trial.number < 3 and begun.wait(PATIENCE_S) == 0:
            failing.append(me)
            begun.wait(PATIENCE_S)
        elif trial.number < 3:
            begun.wait(PATIENCE_S)  # Until it is known which one fails.
        if me in failing:
            met.append(me)
            if len(met) == 3:
                ended.set()
            raise ValueError(f"cell {trial.user_attrs[CELL]['repeat']}")
        assert ended.wait(PATIENCE_S), "the others go on when that one has met its three errors, no sooner"

    workers = replicas(3, NoOp(9, does))
    work_together(workers, threads=1)
    assert outcome(workers[0]) == {"COMPLETE": 6, "FAIL": 3}

    def always(trial: optuna.Trial) -> None:
        raise ValueError("always")

    workers = replicas(2, NoOp(20, always))
    with pytest.raises(ValueError, match="always"):
        work_together(workers, threads=1)


def told_to_end() -> None:
    """Be sent a signal that wakes no other thread, as happens to the main one just before it sleeps; wait for it."""
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)
    for _ in range(100 * PATIENCE_S):
        raise_lost()
        threading.Event().wait(0.01)
    raise AssertionError("the signal was not relayed")


def test_a_signal_that_wakes_nobody_reaches_all_replicas(replicas, monkeypatch: pytest.MonkeyPatch):
    """Of two, one runs the only cell, the other looks again and again whether it still does."""
    waits, begun, look = threading.Event(), list[int](), Rescue.look

    def end(trial: optuna.Trial) -> None:
        begun.append(trial.number)
        assert waits.wait(PATIENCE_S)
        told_to_end()

    def look_again(rescue: Rescue) -> None:
        look(rescue)
        waits.set()

    monkeypatch.setattr(Rescue, "look", look_again)
    workers = replicas(2, NoOp(1, end))
    with pytest.raises(Terminated) as caught:
        work_together(workers, threads=1)
    assert caught.value.signal is signal.SIGINT
    assert len(begun) == 1
    # Before it is told itself the other one may take what was given back, and gives it back as well.
    assert outcome(workers[0]) in ({"FAIL": 1, "WAITING": 1}, {"FAIL": 2, "WAITING": 1})


def test_a_trial_that_is_taken_after_the_signal_is_given_back_before_it_begins(
    replicas, monkeypatch: pytest.MonkeyPatch
):
    """A replica that just was about to take one comes to it after the other replica has ended."""
    at_the_queue, other_ended, begun = threading.Event(), threading.Event(), list[int]()

    def end(trial: optuna.Trial) -> None:
        begun.append(trial.number)
        assert at_the_queue.wait(PATIENCE_S)
        told_to_end()

    first, late = workers = replicas(2, NoOp(2, end))
    work, ask = first.work, late._ask

    def work_and_tell() -> None:
        try:
            work()
        finally:
            other_ended.set()

    def ask_late() -> optuna.Trial:
        at_the_queue.set()
        assert other_ended.wait(PATIENCE_S)
        return ask()

    monkeypatch.setattr(first, "work", work_and_tell)
    monkeypatch.setattr(late, "_ask", ask_late)
    with pytest.raises(Terminated):
        work_together(workers, threads=1)
    assert len(begun) == 1
    assert outcome(first) == {"FAIL": 2, "WAITING": 2}
