"""The plugins, in real `mlflow run` processes on a project of the same name, and the reading of command lines."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from ptycho_mlf.config import InputError
from ptycho_mlf.tracking.project_run import check_parameters, parse
from ptycho_mlf.tracking.store import connect

MLPROJECT = """\
name: ptycho_mlf
conda_env: conda.yaml
entry_points:
  main:
    parameters:
      learning_rate: {type: float, default: 3e-4}
      epochs: {type: int, default: 20}
    command: "python train.py {learning_rate} {epochs}"
  quickstart:
    parameters:
      seeds: {type: int, default: 2}
    command: "echo quickstart"
"""
TRAIN = """
import sys, threading
from ptycho_mlf.launch import launch_folder
from ptycho_mlf.tracking.run_record import RunRecord
params = {"learning_rate": float(sys.argv[1]), "epochs": int(sys.argv[2])}
with RunRecord.open(name="our name", tags={"fingerprint": "f", "from": str(launch_folder())}, params=params) as record:
    while params["epochs"] == 1000:
        threading.Event().wait(0.05)
"""


@pytest.fixture
def project(store: Path) -> Path:
    """A project beside the store, which is the working folder."""
    made = store / "project"
    made.mkdir()
    (made / "MLproject").write_text(MLPROJECT)
    (made / "conda.yaml").write_text("name: never-built\n")
    (made / "train.py").write_text(TRAIN)
    return made


@pytest.fixture
def mlflow_run(project: Path, python: Callable[..., Popen[str]]) -> Callable[..., Popen[str]]:
    """Starts `mlflow run` with arguments; the console script is what this code does."""

    def start(*arguments: str, **environment: str) -> Popen[str]:
        words = ["mlflow", "run", *arguments]
        code = f"import sys; sys.argv = {words}; from mlflow.cli import cli; cli()"
        return python(code, **{"MLFLOW_TRACKING_URI": "", **environment})

    return start


def runs() -> list[Run]:
    """All runs of the connected store."""
    client = MlflowClient()
    return client.search_runs([found.experiment_id for found in client.search_experiments()])


def test_plain_mlflow_run_works_here_and_records_one_run(store: Path, mlflow_run: Callable[..., Popen[str]]):
    child = mlflow_run("project", "-P", "learning_rate=1e-3", "--run-name", "the user's name")
    _, errors = child.communicate(timeout=600)
    assert child.returncode == 0, errors
    assert "ptycho_mlf: runs in this Python environment (adds --env-manager local)" in errors
    [run] = runs()
    assert (run.info.status, run.info.run_name) == ("FINISHED", "the user's name")
    assert run.data.params == {"learning_rate": "1e-3", "epochs": "20"}
    assert MlflowClient().get_experiment(run.info.experiment_id).name == "ptycho_mlf"
    # MLflow started it in the project's folder; what it leaves in the user's goes here.
    assert run.data.tags["from"] == str(store)


def test_a_store_named_from_here_is_one_file(store: Path, project: Path, mlflow_run: Callable[..., Popen[str]]):
    child = mlflow_run("project", "--experiment-name=mine", MLFLOW_TRACKING_URI="sqlite:///own.db?timeout=60")
    _, errors = child.communicate(timeout=600)
    assert child.returncode == 0, errors
    assert not list(project.glob("*.db"))
    connect(f"sqlite:///{store}/own.db")
    assert [run.info.status for run in runs()] == ["FINISHED"]


def test_killed_mlflow_run_takes_its_training_along(mlflow_run: Callable[..., Popen[str]]):
    child = mlflow_run("project", "-P", "epochs=1000", MLFLOW_EXPERIMENT_NAME="mine")
    found: list[Run] = []
    for _ in range(6000):
        found = [run for run in runs() if run.info.run_name == "our name"]
        if found or child.poll() is not None:
            break
        threading.Event().wait(0.1)
    assert found, child.communicate()
    child.send_signal(signal.SIGKILL)
    for _ in range(6000):
        [run] = runs()
        if run.info.status != "RUNNING":
            break
        threading.Event().wait(0.1)
    assert (run.info.status, run.data.tags["failure"]) == ("KILLED", "SIGTERM")
    assert MlflowClient().get_experiment(run.info.experiment_id).name == "mine"


def test_wrong_parameter_stops_before_a_run_exists(project: Path, mlflow_run: Callable[..., Popen[str]]):
    child = mlflow_run("project", "-P", "epochs=-3")
    _, errors = child.communicate(timeout=600)
    assert child.returncode == 2
    assert errors.strip().splitlines() == ["ptycho_mlf: epochs=-3: input should be greater than or equal to 1"]
    assert runs() == []


def test_python_dash_m_mlflow_and_a_new_store_with_a_named_experiment(project: Path):
    elsewhere = project.parent / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, "-m", "mlflow", "run", "../project", "-equickstart", "--experiment-name=mine"]
    here = {**os.environ, "MLFLOW_TRACKING_URI": ""}
    done = subprocess.run(command, cwd=elsewhere, env=here, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "quickstart" in done.stdout
    connect(f"sqlite:///{elsewhere}/mlflow.db")
    [run] = runs()
    assert run.info.status == "FINISHED"


def test_store_that_cannot_be_used_is_one_line(mlflow_run: Callable[..., Popen[str]]):
    child = mlflow_run("project", MLFLOW_TRACKING_URI="sqlite:///nowhere/x.db")
    _, errors = child.communicate(timeout=600)
    assert child.returncode == 2
    assert "nowhere does not exist; create it" in errors.splitlines()[-1]
    assert "Traceback" not in errors


def read(*arguments: str, program: str = "/usr/bin/mlflow"):
    argv = [program, *arguments]
    return parse(argv, [sys.executable, *argv])


@pytest.mark.parametrize(
    ("arguments", "position", "entry", "given"),
    [
        (["run", "{}"], 2, "main", ()),
        (["run", "-e", "quickstart", "{}", "-P", "a=b"], 2, "quickstart", ("a=b",)),
        (["run", "--entry-point=quickstart", "-Pa=b", "{}"], 2, "quickstart", ("a=b",)),
        (["run", "--param-list", "a=b=c", "--param-list=d=", "{}"], 2, "main", ("a=b=c", "d=")),
        (["--env-file", ".env", "run", "{}"], 4, "main", ()),
        (["--env-file=.env", "run", "{}", "-v", "main"], 3, "main", ()),
        (["run", "{}", "--an-option-of-the-future", "--build-image"], 2, "main", ()),
    ],
)
def test_command_lines_of_this_project(
    project: Path, arguments: list[str], position: int, entry: str, given: tuple[str, ...]
):
    run = read(*(word.format(project) for word in arguments))
    assert run is not None
    assert (run.position, run.options["entry_point"], run.options["param_list"]) == (position, entry, given)
    assert not run.chooses_environment
    assert not run.names_experiment


def test_other_command_lines(project: Path):
    other = project.parent / "other"
    other.mkdir()
    (other / "MLproject").write_text("name: another\ndescription: knows ptycho_mlf\n")
    broken = project.parent / "broken"
    broken.mkdir()
    (broken / "MLproject").write_text("name: ptycho_mlf\n  : [")
    lines = [["run", str(other)], ["run", str(broken)], ["run", "https://example.org/ptycho_mlf"], ["run"], ["ui"], []]
    assert [read(*line) for line in lines] == [None] * len(lines)
    assert read("run", str(project), "--help") is None
    assert read("run", str(project), program="train.py") is None
    assert parse(["-m", "run", str(project)], ["python", "-m", "pytest", "run", str(project)]) is None
    assert parse(["-m", "run", str(project)], ["python", "-m", "mlflow", "run", str(project)]) is not None


def test_what_the_user_chose_is_left_alone(project: Path, monkeypatch: pytest.MonkeyPatch):
    for words in (["--env-manager", "conda"], ["--backend=local"], ["-b", "local"]):
        assert read("run", str(project), *words).chooses_environment
    for words in (["--experiment-name", "x"], ["--experiment-id=3"]):
        assert read("run", str(project), *words).names_experiment
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "3")
    assert read("run", str(project)).names_experiment


@pytest.mark.parametrize(
    ("entry", "given", "message"),
    [
        ("main", ["epochs=abc"], "epochs=abc: "),
        ("main", ["momentum=0.5"], "momentum=0.5: nothing uses it here"),
        ("main", ["epoch=3"], "epoch=3: no such parameter; did you mean epochs?"),
        ("main", ["learning-rate=1"], "learning-rate=1: write -P learning_rate=1"),
        ("quickstart", ["seedss=3"], "seedss=3: no such parameter; did you mean seeds?"),
        ("quickstart", ["seeds=abc"], None),
        ("quickstart", ["momentum=0.5", "learning-rate=1e-5:1e-2"], None),
        ("main", ["learning_rate=1e-2", "clip-algorithm=agc"], None),
        ("main", ["epochs"], None),
        ("main", ["epochs=x", "epochs=y"], None),
        ("nowhere", ["epochs=abc"], None),
    ],
)
def test_parameters_before_the_run(project: Path, entry: str, given: list[str], message: str | None):
    run = read("run", str(project), "-e", entry, *(word for pair in given for word in ("-P", pair)))
    if message is None:
        check_parameters(run)
        return
    with pytest.raises(InputError) as caught:
        check_parameters(run)
    assert str(caught.value).startswith(message)


def test_import_of_mlflow_stays_light_and_untouched(python: Callable[..., Popen[str]], project: Path):
    code = (
        "import sys; import ptycho_mlf.tracking.plugin as p; p.LocalEnvironment(); p.DefaultExperiment().in_context()"
    )
    child = python(code + "; print([m for m in ('mlflow', 'yaml', 'pydantic', 'click', 'torch') if m in sys.modules])")
    out, errors = child.communicate(timeout=600)
    assert (out.strip(), errors) == ("[]", "")
    quiet = python(
        "import sys; sys.argv = ['mlflow', 'run', 'project']; from ptycho_mlf.tracking.plugin import LocalEnvironment\n"
        "provider = LocalEnvironment(); print(sys.argv, provider.in_context(), provider.tags())",
        PTYCHO_MLF_PLUGIN="off",
    )
    assert quiet.communicate(timeout=600)[0].strip() == "['mlflow', 'run', 'project'] False {}"
