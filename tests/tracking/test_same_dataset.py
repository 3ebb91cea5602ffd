"""Runs of one study begin together on the same data set: none of them may be refused."""

from __future__ import annotations

import threading
from pathlib import Path

import psycopg
from mlflow import MlflowClient

from ptycho_mlf.tracking.datasets import dataset_fields
from ptycho_mlf.tracking.offline_spool import Spool
from ptycho_mlf.tracking.store import connect

from ..postgres_server import Postgres

INSERT = """
    INSERT INTO datasets (dataset_uuid, experiment_id, name, digest,
                          dataset_source_type, dataset_source, dataset_schema, dataset_profile)
    VALUES ('theirs', 0, %(name)s, %(digest)s, %(source_type)s, %(source)s, %(schema)s, %(profile)s)
"""


def wait_for_lock(connection: psycopg.Connection) -> None:
    for _ in range(12000):
        [waiting] = connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() or (0,)
        if waiting:
            return
        threading.Event().wait(0.05)
    raise AssertionError("nothing waits for the data set that is being added")


def test_a_data_set_that_another_run_adds_at_the_same_moment(postgres_server: Postgres, folder: Path):
    url = postgres_server.database("datasets")
    client = MlflowClient(connect(url.replace("postgresql:", "postgresql+psycopg:")))
    run = client.create_run("0")
    fields = dataset_fields("lines", "abc", None, (1, 16, 16), {})
    spool = Spool(client, run.info.run_id)
    with psycopg.connect(url) as other, psycopg.connect(url, autocommit=True) as observer:
        # Added but not committed: the run's look does not find it, and its own adding waits for ours to be decided.
        other.execute(INSERT, fields)
        posted: list[bool] = []
        entry = {"kind": "dataset", "dataset": fields, "context": "training"}
        thread = threading.Thread(target=lambda: posted.append(spool.post(entry)))
        thread.start()
        wait_for_lock(observer)
        other.commit()
        thread.join()
    assert posted == [True]
    inputs = client.get_run(run.info.run_id).inputs
    assert inputs is not None
    [logged] = inputs.dataset_inputs
    assert (logged.dataset.name, logged.dataset.digest, logged.tags[0].value) == ("lines", "abc", "training")
