"""Processes of one study that meet at the worst moment: threads are made to, if they can."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import optuna
import pytest
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial
from sqlalchemy import text

from ptycho_mlf.config import InputError
from ptycho_mlf.studies import engine
from ptycho_mlf.studies.commands import run_arms
from ptycho_mlf.studies.engine import _Conductor
from ptycho_mlf.studies.queue_storage import QueueStorage
from ptycho_mlf.studies.recovery import recover
from ptycho_mlf.studies.storage import open_storage
from ptycho_mlf.studies.worker import Worker

from ..postgres_server import Postgres
from .no_op import NoOp, begin
from .test_engine import HERE, SMALL, parent_and_children
from .test_worker import cells_of, states

MEETING_S = 1.0
"""How long one waits for another that cannot come."""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/optuna.db"
    server: Postgres = request.getfixturevalue("postgres_server")
    return server.database(f"races_{abs(hash(request.node.nodeid))}")


@pytest.fixture
def workers(url: str) -> Iterator[Callable[[NoOp], Worker]]:
    """Workers on one study of a kind."""
    made: list[Worker] = []

    def make(kind: NoOp) -> Worker:
        made.append(begin(url, kind, heartbeat=20))
        return made[-1]

    yield make
    for worker in made:
        worker.storage.engine.dispose()


def run_together(*acts: Callable[[], None]) -> list[BaseException]:
    """What each of them raised."""
    raised: list[BaseException] = []

    def run(act: Callable[[], None]) -> None:
        try:
            act()
        except (InputError, RuntimeError, ValueError) as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def take_for_dead(worker: Worker) -> None:
    """What another process does that has heard nothing of the trials that run."""
    ago = "datetime('now', '-1 hours')" if worker.storage.engine.name == "sqlite" else "now() - interval '1 hour'"
    with worker.storage.engine.begin() as connection:
        connection.execute(text(f"UPDATE trial_heartbeats SET heartbeat = {ago}"))
    recover(worker.study, worker.storage)


@pytest.mark.parametrize("which", ["new", "ended"])
def test_of_two_processes_that_begin_a_study_one_conducts_it(
    which: str, url: str, store: Path, dataset_cache: Path, monkeypatch: pytest.MonkeyPatch
):
    def arms(**more: str) -> None:
        given = {**SMALL, "cache_dir": str(dataset_cache), **HERE, "storage": url, "seeds": "1"}
        run_arms("arms", {**given, **more})

    opened: list[QueueStorage] = []
    monkeypatch.setattr(engine, "open_storage", lambda *given: opened.append(open_storage(*given)) or opened[-1])
    if which == "ended":
        arms()
    meeting, check = threading.Barrier(2), _Conductor._check_alone

    def check_together(self: _Conductor, parent: str | None) -> None:
        check(self, parent)
        with suppress(threading.BrokenBarrierError):
            meeting.wait(MEETING_S)

    monkeypatch.setattr(_Conductor, "_check_alone", check_together)
    [refused] = run_together(lambda: arms(seeds="2"), lambda: arms(seeds="2"))
    assert str(refused).startswith("study=s: process ")
    assert str(refused).endswith(" conducts it; help it with `worker`, or end it first")
    parent, children = parent_and_children()
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}
    assert len(children) == 2
    for storage in opened:
        storage.engine.dispose()


def test_a_trial_that_ends_is_not_taken_for_dead_at_that_moment(workers, monkeypatch: pytest.MonkeyPatch):
    worker, other = workers(NoOp(1)), workers(NoOp(1))
    tell, taken = worker.study.tell, threading.Event()

    def take() -> None:
        take_for_dead(other)
        taken.set()

    thread = threading.Thread(target=take)

    def tell_late(*arguments: object) -> FrozenTrial:
        thread.start()
        taken.wait(MEETING_S)
        return tell(*arguments)

    monkeypatch.setattr(worker.study, "tell", tell_late)
    worker.work()
    thread.join()
    assert states(worker.study) == {"COMPLETE": 1}


def test_no_worker_leaves_while_a_trial_is_on_its_way_back_to_the_queue(workers, monkeypatch: pytest.MonkeyPatch):
    dying, saving, waiting = (workers(NoOp(1)) for _ in range(3))
    trial = dying._ask()
    dying.storage.record_heartbeat(trial._trial_id)
    left, retry = threading.Event(), RetryHeartbeatStaleTrialCallback.__call__

    def work() -> None:
        waiting.work()
        left.set()

    thread = threading.Thread(target=work)

    def retry_late(self: RetryHeartbeatStaleTrialCallback, study: optuna.Study, trial: FrozenTrial) -> None:
        thread.start()
        left.wait(MEETING_S)
        retry(self, study, trial)

    monkeypatch.setattr(RetryHeartbeatStaleTrialCallback, "__call__", retry_late)
    take_for_dead(saving)
    thread.join()
    assert cells_of(waiting.study) == [0]
    assert states(waiting.study) == {"FAIL": 1, "COMPLETE": 1}
