"""The Optuna storage on PostgreSQL; sqlite is in test_worker.py."""

from __future__ import annotations

import threading

from ptycho_mlf.config.study import StudyConfig
from ptycho_mlf.studies.queue_storage import QueueStorage
from ptycho_mlf.studies.storage import open_storage

from ..postgres_server import Postgres
from .no_op import NoOp, begin
from .test_worker import cells_of


def test_several_processes_may_be_the_first_in_a_database(postgres_server: Postgres):
    """Each makes the tables if there are none."""
    url = postgres_server.database("tables")
    together, opened = threading.Barrier(4), list[QueueStorage]()

    def open_one() -> None:
        together.wait()
        opened.append(open_storage(StudyConfig(storage=url)))

    threads = [threading.Thread(target=open_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    for storage in opened:
        storage.engine.dispose()


def test_workers_take_turns_on_postgresql(postgres_server: Postgres):
    url = postgres_server.database("queue")
    workers = [begin(url, NoOp(12)) for _ in range(2)]
    for turn in range(12):
        workers[turn % 2]._failures = 0
        workers[turn % 2]._run_one()
    assert cells_of(workers[0].study) == list(range(12))
    for worker in workers:
        worker.storage.engine.dispose()
