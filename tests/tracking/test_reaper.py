import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from subprocess import Popen

import psutil
import psycopg
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from ptycho_mlf.tracking import reaper
from ptycho_mlf.tracking.environment import process_tags
from ptycho_mlf.tracking.queries import PARENT_TAG
from ptycho_mlf.tracking.reaper import disown, reap
from ptycho_mlf.tracking.run_record import RunRecord
from ptycho_mlf.tracking.store import connect, experiment

from ..postgres_server import Postgres
from .test_same_dataset import wait_for_lock

DIES = """
import os, signal
from ptycho_mlf.tracking.run_record import RunRecord
with RunRecord.open(name="victim", tags={"fingerprint": "f"}) as record:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_runs_of_dead_processes_are_ended_and_no_others(store: Path, python: Callable[..., Popen[str]]):
    client, where = MlflowClient(), experiment()
    child = python(DIES)
    child.communicate(timeout=600)
    assert child.returncode == -signal.SIGKILL
    [victim] = client.search_runs([where])
    assert victim.info.status == "RUNNING"

    now, mine = time.time(), process_tags()
    other_host = {**mine, "host": "far-away"}

    def begin(**tags: str) -> str:
        return client.create_run(where, tags=tags).info.run_id

    dead = {victim.info.run_id: f"process {child.pid} on"}
    dead[begin(**{**mine, "pid_created": "1000000000.00"}, heartbeat=f"{now:.0f}")] = f"process {os.getpid()} on"
    dead[begin(**other_host, heartbeat=f"{now - 700:.0f}")] = "no sign of life from far-away for 70"
    alive = {
        "this process, however old its heartbeat": begin(**mine, heartbeat=f"{now - 9999:.0f}"),
        "another host with a fresh heartbeat": begin(**other_host, heartbeat=f"{now - 500:.0f}"),
        "not ours": begin(),
        "somebody else's heartbeat": begin(heartbeat="yesterday"),
    }
    assert psutil.pid_exists(os.getpid())
    assert sorted(reap([where])) == sorted(dead)

    def run(run_id: str) -> Run:
        return client.get_run(run_id)

    assert {run_id: run(run_id).info.status for run_id in dead} == dict.fromkeys(dead, "KILLED")
    for run_id, reason in dead.items():
        assert run(run_id).data.tags["failure"].startswith(reason)
    assert {what: run(run_id).info.status for what, run_id in alive.items()} == dict.fromkeys(alive, "RUNNING")
    assert reap([where]) == []


def test_a_run_that_goes_on_in_another_process_is_left_alone(store: Path, monkeypatch: pytest.MonkeyPatch):
    """Whoever looks at that moment has it as one of a dead process, or sees it run in that one's name."""
    where, reaped = experiment(), list[str]()
    dead = {**process_tags(), "heartbeat": "0", "pid_created": "1000000000.00"}
    run_id = MlflowClient().create_run(where, tags=dead).info.run_id
    look, update = reaper.search, MlflowClient.update_run

    def look_before(*arguments: object) -> list[Run]:
        found = list(look(*arguments))
        if not looked:
            looked.append([run.info.run_id for run in found])
            stack.enter_context(RunRecord.open(name="again", run_id=run_id))
        return found

    def update_before(self: MlflowClient, *arguments: object, **named: object) -> None:
        update(self, *arguments, **named)
        reaped.extend(reap([where]))

    looked: list[list[str]] = []
    monkeypatch.setattr(reaper, "search", look_before)
    monkeypatch.setattr(MlflowClient, "update_run", update_before)
    with ExitStack() as stack:
        reaped.extend(reap([where]))
        assert MlflowClient().get_run(run_id).info.status == "RUNNING"
    assert looked == [[run_id]]
    assert reaped == []
    assert MlflowClient().get_run(run_id).info.status == "FINISHED"


def test_two_processes_end_one_run_at_the_same_moment(postgres_server: Postgres, folder: Path):
    url = postgres_server.database("reaper")
    client = MlflowClient(connect(url.replace("postgresql:", "postgresql+psycopg:")))
    parent = client.create_run("0").info.run_id
    child = client.create_run("0", tags={PARENT_TAG: parent, "trial": "3"}).info.run_id
    with psycopg.connect(url) as other, psycopg.connect(url, autocommit=True) as observer:
        # Set but not committed: the other one's look does not find it, and its own setting waits.
        other.execute("INSERT INTO tags (run_uuid, key, value) VALUES (%s, 'failure', 'theirs')", (child,))
        ended: list[str] = []
        thread = threading.Thread(target=lambda: ended.extend(disown(parent, {"trial": "3"}, "ours")))
        thread.start()
        wait_for_lock(observer)
        other.commit()
        thread.join()
    assert ended == [child]
    run = client.get_run(child)
    assert (run.info.status, run.data.tags["failure"]) == ("KILLED", "ours")
