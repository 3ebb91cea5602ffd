import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import Popen

import mlflow
import pytest
from mlflow import MlflowClient

from ptycho_mlf.config import InputError
from ptycho_mlf.tracking.store import connect, experiment

from ..postgres_server import Postgres

FIRST_RUN = """
from ptycho_mlf.tracking.store import connect
from ptycho_mlf.tracking.run_record import RunRecord
connect()
with RunRecord.open(name="first", tags={"fingerprint": "f"}) as record:
    record.log_metrics({"loss": 1.0}, step=0)
print(record.experiment_id)
"""

TOGETHER = """
import threading
from pathlib import Path
import mlflow
from ptycho_mlf.tracking.store import connect, experiment
print("ready", flush=True)
while not Path("go").exists():
    threading.Event().wait(0.001)
connect()
experiment()
"""


def test_eight_processes_make_one_new_store(folder: Path, python: Callable[..., Popen[str]]):
    children = [python(FIRST_RUN) for _ in range(8)]
    answers = [child.communicate(timeout=600) for child in children]
    assert [child.returncode for child in children] == [0] * 8, answers
    assert len({out for out, _ in answers}) == 1
    connect()
    runs = MlflowClient().search_runs([answers[0][0].strip()])
    assert [(run.info.status, run.data.metrics) for run in runs] == [("FINISHED", {"loss": 1.0})] * 8


def test_two_machines_make_the_tables_of_one_new_database(
    folder: Path, python: Callable[..., Popen[str]], postgres_server: Postgres
):
    """They share no folder for a lock file."""
    url = postgres_server.database("first_runs").replace("postgresql:", "postgresql+psycopg:")
    for name in ("a", "b"):
        (folder / name).mkdir()
    children = [python(TOGETHER, TMPDIR=str(folder / name), MLFLOW_TRACKING_URI=url) for name in ("a", "b")]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    (folder / "go").touch()
    answers = [child.communicate(timeout=600) for child in children]
    assert [child.returncode for child in children] == [0, 0], answers


def test_default_store_is_sqlite_here_even_beside_an_old_mlruns_folder(template: Path, folder: Path):
    (folder / "mlruns" / "0").mkdir(parents=True)
    (folder / "mlruns" / "0" / "meta.yaml").write_text("experiment_id: '0'\n")
    shutil.copy(template, folder / "mlflow.db")
    uri = connect()
    assert uri == f"sqlite:///{folder}/mlflow.db"
    assert mlflow.get_tracking_uri() == uri
    assert os.environ["MLFLOW_TRACKING_URI"] == uri, "child processes use the same store"
    found = MlflowClient().get_experiment(experiment())
    assert found.name == "ptycho_mlf"
    assert found.artifact_location == f"{folder}/mlruns/{found.experiment_id}"


def test_tracking_uri_of_the_environment_and_telemetry(store: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copy("mlflow.db", "other.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db?timeout=7")
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY")
    assert connect() == f"sqlite:///{store}/other.db?timeout=7"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    connect("sqlite:///mlflow.db")
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "false"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("sqlite:///nowhere/mlflow.db", r"the folder .*nowhere does not exist; create it"),
        ("sqlite:////proc/mlflow.db", r"cannot be written .*start from a writable folder"),
        ("sqlite:///notes.txt", r"file is not a database; move the file away"),
        ("sqlite://", r"an sqlite store is a file"),
        ("sqlite:///:memory:", r"an sqlite store is a file"),
        ("mlruns", r"no runs in folders any more; name sqlite:///mlflow.db"),
        ("http://127.0.0.1:9", r"tracking server http://127.0.0.1:9: no answer; start it"),
        ("http://me:secret@127.0.0.1:9", r"http://me:\*\*\*@127.0.0.1:9: no answer"),
        ("postgresql://me:secret@127.0.0.1:9/x", r"postgresql://me:\*\*\*@127.0.0.1:9/x: "),
        ("nonsense://x", r"nonsense://x: .*unsupported URI"),
    ],
)
def test_unusable_stores_are_one_line_errors(folder: Path, uri: str, message: str):
    (folder / "notes.txt").write_text("not a database, but longer than the header of one")
    with pytest.raises(InputError, match=message) as caught:
        connect(uri)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_database_of_another_mlflow_version_is_left_alone(folder: Path, template: Path):
    shutil.copy(template, "old.db")
    with closing(sqlite3.connect("old.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = '0123456789ab'")
        database.commit()
    with pytest.raises(InputError, match=r"out-of-date database schema .*mlflow db upgrade"):
        connect("sqlite:///old.db")


def test_experiment_by_name_environment_or_default(store: Path, monkeypatch: pytest.MonkeyPatch):
    default = experiment()
    assert experiment() == experiment("ptycho_mlf") == default
    named = experiment("named")
    assert named != default
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", named)
    assert experiment() == named
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "by name")
    assert MlflowClient().get_experiment(experiment()).name == "by name"
    assert experiment("named") == named


def test_missing_and_deleted_experiments(store: Path, monkeypatch: pytest.MonkeyPatch):
    gone = experiment("gone")
    MlflowClient().delete_experiment(gone)
    with pytest.raises(InputError, match=f"experiment gone: it is deleted; .*restore -x {gone}`"):
        experiment("gone")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "4711")
    with pytest.raises(InputError, match="MLFLOW_EXPERIMENT_ID=4711"):
        experiment()
