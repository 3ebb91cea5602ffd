"""Processes of studies are killed in the middle of a training: every cell ends up with one finished run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from ptycho_mlf.studies.commands import resume
from ptycho_mlf.tracking.store import connect

from ..conftest import Server
from ..postgres_server import Postgres
from .test_engine import SMALL, parent_and_children

ROOT = Path(__file__).parents[2]
FIRST_SEED = 20260128


@pytest.fixture
def arms(folder: Path, dataset_cache: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `arms` as a process, with trainings that are long enough to be met."""
    children: list[subprocess.Popen[str]] = []

    def start(tracking_uri: str, **given: object) -> subprocess.Popen[str]:
        # Other versions are allowed, so that files may be edited while tests run.
        options = {**SMALL, "epochs": 30, "cache_dir": dataset_cache, "study": "s", "allow_other_code": True, **given}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        variables = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": tracking_uri}
        command = [sys.executable, "-m", "entrypoints.arms", *words]
        children.append(
            subprocess.Popen(command, cwd=folder, env={**os.environ, **variables}, stdout=-1, stderr=-1, text=True)
        )
        return children[-1]

    yield start
    for child in children:
        if child.poll() is None:
            child.terminate()
        child.communicate()


def met_in_the_act(conductor: subprocess.Popen[str], known: tuple[str, ...] = ()) -> Run:
    """A training that is under way."""
    for _ in range(12000):
        client = MlflowClient()
        for found in client.search_experiments():
            for run in client.search_runs([found.experiment_id], "attributes.status = 'RUNNING'"):
                if "trial" in run.data.tags and run.info.run_id not in known:
                    return run
        assert conductor.poll() is None, conductor.communicate()
        threading.Event().wait(0.05)
    raise AssertionError("no training in 10 minutes")


def read_trials(storage: str) -> list[FrozenTrial]:
    opened = RDBStorage(storage)
    trials = optuna.load_study(study_name="s", storage=opened).trials
    opened.remove_session()
    opened.engine.dispose()
    return trials


def check_all_done(storage: str, seeds: int) -> tuple[Run, list[Run]]:
    """Each cell has one result and one finished run; nothing runs."""
    trials = read_trials(storage)
    done = [trial.params["repeat"] for trial in trials if trial.state.name == "COMPLETE"]
    assert sorted(done) == list(range(seeds))
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "FAIL", "PRUNED"}
    parent, children = parent_and_children()
    assert parent.info.status == "FINISHED"
    finished = Counter(int(run.data.tags["seed"]) - FIRST_SEED for run in children if run.info.status == "FINISHED")
    assert finished == dict.fromkeys(range(seeds), 1)
    assert {run.info.status for run in children} <= {"FINISHED", "KILLED"}
    return parent, children


def one_of_several_is_killed(arms, tracking_uri: str, storage: str, workers: int) -> None:
    # Where signs of life come late on a busy machine, trials are run again more often than they have to.
    conductor = arms(tracking_uri, seeds=6, storage=storage, workers=workers, heartbeat=1, retries=50)
    victim = met_in_the_act(conductor)
    os.kill(int(victim.data.tags["pid"]), signal.SIGKILL)
    out, errors = conductor.communicate(timeout=600)
    assert conductor.returncode == 0, out + errors
    assert "[6/6]" in out
    parent, children = check_all_done(storage.replace("postgresql:", "postgresql+psycopg:"), 6)
    [killed] = [run for run in children if run.info.run_id == victim.info.run_id]
    assert killed.info.status == "KILLED"
    assert killed.data.tags["failure"] == f"the worker of trial {killed.data.tags['trial']} gave no sign of life"
    processes = {run.data.tags["pid"] for run in children}
    assert parent.data.tags["pid"] not in processes
    assert 1 < len(processes) <= workers, "on a busy machine one may begin when nothing is left"
    [session] = MlflowClient().list_artifacts(parent.info.run_id, "workers")
    logs = [file.path for file in MlflowClient().list_artifacts(parent.info.run_id, session.path)]
    assert logs == [f"{session.path}/worker-{k}.log" for k in range(1, workers + 1)]


def test_mlflow_and_optuna_on_postgresql_outlive_a_killed_worker(arms, folder: Path, postgres_server: Postgres):
    backend = postgres_server.database("mlflow").replace("postgresql:", "postgresql+psycopg:")
    server = Server(folder, backend)
    server.start()
    try:
        connect(server.url)
        one_of_several_is_killed(arms, server.url, postgres_server.database("optuna"), workers=3)
    finally:
        server.stop()


@pytest.mark.long
def test_one_of_two_workers_on_sqlite_is_killed(arms, store: Path):
    one_of_several_is_killed(arms, f"sqlite:///{store}/mlflow.db", f"sqlite:///{store}/optuna.db", workers=2)


def test_a_conductor_is_told_to_end_then_killed_and_the_study_goes_on(arms, store: Path):
    uri, storage = f"sqlite:///{store}/mlflow.db", f"sqlite:///{store}/optuna.db"
    first = arms(uri, seeds=3)
    given_back = met_in_the_act(first)
    first.send_signal(signal.SIGTERM)
    _, errors = first.communicate(timeout=600)
    assert (first.returncode, errors) == (143, "")
    parent, _ = parent_and_children()
    assert (parent.info.status, parent.data.tags["failure"]) == ("KILLED", "SIGTERM")
    assert [trial.state.name for trial in read_trials(storage)] == ["FAIL", "WAITING", "WAITING", "WAITING"]

    second = arms(uri, seeds=3, heartbeat=1)
    killed = met_in_the_act(second)
    second.kill()
    second.communicate()
    parent, _ = parent_and_children()
    assert parent.info.status == "RUNNING", "it had no time to say so"

    resume({"study": "s", "allow_other_code": "true", "heartbeat": "1"})
    parent, children = check_all_done(storage, 3)
    fates = {run.info.run_id: run.data.tags["failure"] for run in children if run.info.status == "KILLED"}
    assert fates[given_back.info.run_id] == "SIGTERM"
    assert fates[killed.info.run_id].startswith(f"process {second.pid} on ")
    assert len(fates) == 2
    assert "failure" not in parent.data.tags


@pytest.mark.long
def test_ctrl_c_ends_the_workers_too_and_gives_their_trials_back(arms, store: Path):
    uri, storage = f"sqlite:///{store}/mlflow.db", f"sqlite:///{store}/optuna.db"
    conductor = arms(uri, seeds=4, workers=2, epochs=2000)
    first = met_in_the_act(conductor)
    second = met_in_the_act(conductor, known=(first.info.run_id,))
    conductor.send_signal(signal.SIGINT)
    _, errors = conductor.communicate(timeout=600)
    assert (conductor.returncode, errors) == (130, "")
    parent, children = parent_and_children()
    assert (parent.info.status, parent.data.tags["failure"]) == ("KILLED", "SIGINT")
    assert {run.info.run_id for run in children} == {first.info.run_id, second.info.run_id}
    assert {run.info.status for run in children} == {"KILLED"}
    assert not any(psutil.pid_exists(int(run.data.tags["pid"])) for run in children)
    states = Counter(trial.state.name for trial in read_trials(storage))
    assert states == {"FAIL": 2, "WAITING": 4}
