"""Workers and the queue they share, with trials that do nothing, on sqlite."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import text

from ptycho_mlf.config.study import StudyConfig
from ptycho_mlf.studies.recovery import Rescue, recover
from ptycho_mlf.studies.storage import open_storage
from ptycho_mlf.studies.study import CELL, enqueue, missing_cells, open_trials, results
from ptycho_mlf.tracking.signals import Terminated, terminating

from .no_op import NoOp, begin


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/optuna.db"


def cells_of(study: optuna.Study) -> list[int]:
    return sorted(trial.params["repeat"] for trial in results(study))


def states(study: optuna.Study) -> Counter[str]:
    return Counter(trial.state.name for trial in study.get_trials())


def forget_heartbeats(storage: RDBStorage, hours: int = 1) -> None:
    """Make all signs of life old."""
    with storage.engine.begin() as connection:
        connection.execute(text(f"UPDATE trial_heartbeats SET heartbeat = datetime('now', '-{hours} hours')"))


def test_every_cell_once_and_nothing_twice(url: str):
    worker = begin(url, NoOp(5))
    worker.work()
    again = begin(url, NoOp(5))
    assert not open_trials(again.study)
    again.work()
    more = begin(url, NoOp(7))
    more.work()
    assert cells_of(more.study) == list(range(7))
    assert states(more.study) == {"COMPLETE": 7}
    assert missing_cells(more.study, NoOp(9).cells()) == [{"repeat": 7}, {"repeat": 8}]


def test_failures_in_a_row_stop_the_worker_single_ones_do_not(url: str):
    def fail_for(*cells: int):
        def does(trial: optuna.Trial) -> None:
            if trial.user_attrs[CELL]["repeat"] in cells:
                raise ValueError(f"cell {trial.user_attrs[CELL]['repeat']}\nis broken")

        return does

    worker = begin(url, NoOp(9, fail_for(0, 1, 3, 5, 6, 7)))
    with pytest.raises(ValueError, match="cell 7"):
        worker.work()
    assert cells_of(worker.study) == [2, 4]
    assert states(worker.study) == {"COMPLETE": 2, "FAIL": 6, "WAITING": 1}
    assert worker.study.trials[7].user_attrs["error"] == "ValueError: cell 7 is broken"
    begin(url, NoOp(9)).work()
    assert cells_of(worker.study) == list(range(9)), "failed cells are queued again"


@pytest.mark.parametrize("when", ["before it has values", "while it runs"])
def test_a_worker_that_is_told_to_end_gives_its_trial_back_at_once(url: str, when: str):
    def end(trial: optuna.Trial) -> None:
        if trial.user_attrs[CELL]["repeat"] == 1:
            if when == "while it runs":
                trial.suggest_int("repeat", 0, 100_000)
            os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError("not reached")

    worker = begin(url, NoOp(3, end))
    with pytest.raises(Terminated), terminating():
        worker.work()
    assert states(worker.study) == {"COMPLETE": 1, "FAIL": 1, "WAITING": 2}
    begin(url, NoOp(3)).work()
    assert cells_of(worker.study) == [0, 1, 2]
    assert states(worker.study) == {"COMPLETE": 3, "FAIL": 1}


def test_a_signal_between_a_trial_and_its_end_waits(url: str, monkeypatch: pytest.MonkeyPatch):
    """Else a finished training would be run again."""

    worker = begin(url, NoOp(2))
    tell = worker.study.tell

    def tell_late(*arguments: object) -> FrozenTrial:
        os.kill(os.getpid(), signal.SIGINT)
        return tell(*arguments)

    monkeypatch.setattr(worker.study, "tell", tell_late)
    with pytest.raises(Terminated), terminating():
        worker.work()
    assert states(worker.study) == {"COMPLETE": 1, "WAITING": 1}


@pytest.mark.parametrize("beats", [True, False])
def test_the_trial_of_a_dead_worker_is_run_again_as_often_as_allowed(url: str, beats: bool):
    """Also if it died before its first sign of life."""
    worker = begin(url, NoOp(2), retries=1)

    def die() -> None:
        trial = worker._ask()
        if beats:
            worker.storage.record_heartbeat(trial._trial_id)
        else:
            Rescue(worker.study, worker.storage).look()
        forget_heartbeats(worker.storage)
        recover(worker.study, worker.storage)

    die()
    assert states(worker.study) == {"FAIL": 1, "WAITING": 2}
    again = begin(url, NoOp(2), retries=1)
    again.work()
    assert cells_of(again.study) == [0, 1]
    enqueue(worker.study, NoOp(3).cells())
    die()
    die()
    assert states(worker.study) == {"COMPLETE": 2, "FAIL": 3}
    assert missing_cells(worker.study, NoOp(3).cells()) == [{"repeat": 2}]


def test_a_worker_that_was_taken_for_dead_goes_on_and_its_result_does_not_count(url: str):
    worker = begin(url, NoOp(2), heartbeat=3600)
    taken: list[int] = []

    def lose_first(trial: optuna.Trial) -> None:
        if not taken:
            taken.append(trial.number)
            forget_heartbeats(worker.storage, hours=4)
            storage = open_storage(StudyConfig(storage=url))
            recover(optuna.load_study(study_name="no-op", storage=storage), storage)

    worker.kind = NoOp(2, lose_first)
    worker.work()
    assert cells_of(worker.study) == [0, 1]
    assert states(worker.study) == {"COMPLETE": 2, "FAIL": 1}


def test_two_workers_never_take_the_same_trial_of_an_sqlite_file(url: str, monkeypatch: pytest.MonkeyPatch):
    """Both look at its state at the same moment, if they can."""
    begin(url, NoOp(1))
    meeting = threading.Barrier(2)
    check = RDBStorage.check_trial_is_updatable

    def check_together(self: RDBStorage, trial_id: int, state: TrialState) -> None:
        check(self, trial_id, state)
        with suppress(threading.BrokenBarrierError):
            meeting.wait(1.0)

    monkeypatch.setattr(RDBStorage, "check_trial_is_updatable", check_together)
    taken: list[bool] = []

    def take() -> None:
        taken.append(open_storage(StudyConfig(storage=url)).set_trial_state_values(1, TrialState.RUNNING))

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False, True]


def test_a_long_queue_is_read_once_and_every_change_is_seen(url: str, monkeypatch: pytest.MonkeyPatch):
    worker, other = begin(url, NoOp(6)), begin(url, NoOp(6))
    read: list[int] = []
    build = RDBStorage._build_frozen_trial_from_trial_model

    def counted(self: RDBStorage, trial):
        read.append(trial.number)
        return build(self, trial)

    monkeypatch.setattr(RDBStorage, "_build_frozen_trial_from_trial_model", counted)

    def seen(study: optuna.Study) -> list[tuple[int, str, dict[str, int]]]:
        return [(trial.number, trial.state.name, trial.params) for trial in study.get_trials()]

    seen(worker.study)
    read.clear()
    seen(worker.study)
    assert read == []
    for _ in range(2):
        other._failures = 0
        other._run_one()
    running = other._ask()
    enqueue(other.study, NoOp(8).cells())
    read.clear()
    now = seen(worker.study)
    assert sorted(read) == [0, 1, 2, 6, 7]
    monkeypatch.undo()
    fresh = optuna.load_study(study_name="no-op", storage=url)
    assert now == seen(fresh)
    other.study.tell(running, 1.0)
    assert seen(worker.study) == seen(fresh)


@pytest.mark.long
def test_two_thousand_trials(url: str):
    begin(url, NoOp(2000)).work()
    again = begin(url, NoOp(2000))
    again.work()
    assert cells_of(again.study) == list(range(2000))
    assert states(again.study) == {"COMPLETE": 2000}
