import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import psutil
from mlflow import MlflowClient
from mlflow.entities import Run

from ptycho_mlf.tracking.environment import process_tags
from ptycho_mlf.tracking.reaper import reap
from ptycho_mlf.tracking.store import experiment

DIES = """
import os, signal
from ptycho_mlf.tracking.run_record import RunRecord
with RunRecord.open(name="victim", tags={"fingerprint": "f"}) as record:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_runs_of_dead_processes_are_ended_and_no_others(store: Path, python: Callable[..., Popen[str]]):
    client, where = MlflowClient(), experiment()
    child = python(DIES)
    child.communicate(timeout=60)
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
