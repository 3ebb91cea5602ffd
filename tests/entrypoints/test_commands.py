"""The commands as users call them: real processes, exit codes, one-line errors, statuses in a real store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run

from ..conftest import TINY

ROOT = Path(__file__).parents[2]


@pytest.fixture
def call(store: Path, dataset_cache: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a command of the project in a folder with a store of its own."""
    children: list[subprocess.Popen[str]] = []

    def start(*words: str, **environment: str) -> subprocess.Popen[str]:
        variables = {"PYTHONPATH": str(ROOT), "PTYCHO_MLF_CACHE": str(dataset_cache), "OMP_NUM_THREADS": "1"}
        variables["MLFLOW_TRACKING_URI"] = f"sqlite:///{store}/mlflow.db"
        children.append(
            subprocess.Popen(
                words, cwd=store, env={**os.environ, **variables, **environment}, stdout=-1, stderr=-1, text=True
            )
        )
        return children[-1]

    yield start
    for child in children:
        if child.poll() is None:
            child.kill()
        child.communicate()


def entry(name: str, **options: object) -> list[str]:
    return [sys.executable, "-m", f"entrypoints.{name}", *(w for k, v in options.items() for w in (f"--{k}", str(v)))]


def runs() -> list[Run]:
    client = MlflowClient()
    return client.search_runs([found.experiment_id for found in client.search_experiments()])


def tiny_options(**changes: object) -> dict[str, object]:
    return {**TINY, **changes}


def test_help_is_light_and_complete(call):
    code = (
        "import sys; sys.argv = ['stage_a', '--help']\n"
        "from entrypoints.stage_a import stage_a\n"
        "try: stage_a()\n"
        "finally: print({'torch', 'lightning', 'mlflow', 'optuna'} & sys.modules.keys(), file=sys.stderr)"
    )
    out, errors = call(sys.executable, "-c", code).communicate()
    assert errors.strip() == "set()"
    for word in ("--learning-rate", "--learning_rate", "default: 0.0003", "Replication"):
        assert word in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": "abc"}, "error: learning_rate=abc: input should be a valid number"),
        ({"lr": "1e-3"}, "error: No such option '--lr'"),
        ({"optimizer": "sgd", "beta1": "0.5"}, "error: beta1=0.5: nothing uses it here"),
        ({"fno_blocks": "9"}, "error: fno_blocks=9: stable_hybrid at N=64 holds at most 6 levels"),
        ({"probe": "missing.npz"}, "error: probe=missing.npz: "),
    ],
)
def test_wrong_values_are_one_line_and_code_2(call, options, message):
    child = call(*entry("stage_a", **options))
    out, errors = child.communicate()
    assert child.returncode == 2
    assert errors.startswith(message)
    assert len(errors.strip().splitlines()) == 1
    assert out == ""
    assert runs() == []


def test_wrong_input_leaves_an_empty_folder_empty(call, tmp_path_factory):
    """Whatever is refused is refused before there is a store, in one line."""
    folder = tmp_path_factory.mktemp("empty")
    files = tmp_path_factory.mktemp("probes")
    np.save(files / "shape.npy", np.ones((8, 4), complex))
    np.save(files / "huge.npy", np.full((16, 16), 1e200 + 0j))
    (files / "plain").touch()
    wrong = [
        (tiny_options(probe=files / "shape.npy"), "its shape is (8, 4)"),
        (tiny_options(probe=files / "huge.npy"), "its largest value is 1e+200"),
        (tiny_options(cache_dir=files / "plain" / "cache"), "cache cannot be used"),
        (tiny_options(accelerator="cuda"), "accelerator=cuda"),
        (tiny_options(nphotons=1e-6), "no photon"),
    ]
    if torch.cuda.is_available():
        del wrong[3]
    code = f"import os, sys; os.chdir({str(folder)!r}); sys.argv[0] = 'stage_a'; "
    code += "from entrypoints.stage_a import stage_a; stage_a()"
    children = []
    for options, message in wrong:
        words = [w for k, v in options.items() for w in (f"--{k}", str(v))]
        children.append((call(sys.executable, "-c", code, *words, MLFLOW_TRACKING_URI=""), message))
    for child, message in children:
        _, errors = child.communicate(timeout=600)
        assert child.returncode == 2, errors
        assert len(errors.strip().splitlines()) == 1, errors
        assert message in errors
    assert list(folder.iterdir()) == []


def test_an_unreachable_server_is_one_line_and_code_2(call):
    child = call(*entry("stage_a", **tiny_options()), MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    _, errors = child.communicate(timeout=600)
    assert child.returncode == 2
    assert errors.startswith("error: tracking server http://127.0.0.1:9: no answer")
    assert len(errors.strip().splitlines()) == 1


def test_an_npz_with_pickled_objects_is_refused_without_executing_it(call, store):
    code = "import numpy as np; np.savez('p.npz', probe=np.array([print], object))"
    call(sys.executable, "-c", code).communicate()
    child = call(*entry("stage_a", **tiny_options(probe="p.npz")))
    _, errors = child.communicate(timeout=600)
    assert child.returncode == 2
    assert errors.startswith("error: probe=p.npz")
    assert runs() == []


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_killed_training_ends_killed_and_keeps_its_trace(call, signum):
    child = call(*entry("stage_a", **tiny_options(epochs=100000)))
    found: list[Run] = []
    for _ in range(12000):
        found = [run for run in runs() if "train/loss" in run.data.metrics]
        if found or child.poll() is not None:
            break
        threading.Event().wait(0.05)
    assert found, child.communicate()
    child.send_signal(signum)
    child.communicate(timeout=600)
    assert child.returncode == 128 + signum
    (run,) = runs()
    assert run.info.status == "KILLED"
    kept = {item.path for item in MlflowClient().list_artifacts(run.info.run_id)}
    assert {"config.json", "trace.parquet", "history.json", "checkpoints"} <= kept


def project(*arguments: str, **params: object) -> list[str]:
    words = [w for k, v in params.items() for w in ("-P", f"{k}={v}")]
    return [sys.executable, "-m", "mlflow", "run", str(ROOT), *arguments, *words]


def test_mlflow_run_and_compare_as_documented(call):
    """Plain in an installed environment, with --env-manager local, and the table of both."""
    for arguments in (["-e", "stage_a"], ["-e", "main", "--env-manager", "local"]):
        child = call(*project(*arguments, **tiny_options(optimizer="sgd")))
        _, errors = child.communicate(timeout=600)
        assert child.returncode == 0, errors
        assert ("adds --env-manager local" in errors) == ("local" not in arguments)
    assert [run.info.status for run in runs()] == ["FINISHED", "FINISHED"]
    assert {MlflowClient().get_experiment(run.info.experiment_id).name for run in runs()} == {"ptycho_mlf"}
    assert {run.data.params["learning_rate"] for run in runs()} == {"0.003"}
    child = call(*entry("compare", json="true"))
    out, errors = child.communicate(timeout=600)
    assert child.returncode == 0, errors
    document = json.loads(out)
    assert document["ranked"] is True
    assert {row["run_id"] for row in document["runs"]} == {run.info.run_id for run in runs()}
    out, _ = call(*entry("compare")).communicate(timeout=600)
    assert all(run.info.run_id[:8] in out for run in runs())


def test_mlflow_run_refuses_before_a_run_exists(call):
    child = call(*project("-e", "stage_a", learning_rate="abc"))
    _, errors = child.communicate(timeout=600)
    assert child.returncode == 2
    assert errors.startswith("ptycho_mlf: learning_rate=abc: ")
    assert runs() == []


def test_without_the_plugin_the_run_fails_with_its_reason(call):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    words = project("-e", "stage_a", "--env-manager", "local", learning_rate="abc")
    child = call(*words, PTYCHO_MLF_PLUGIN="off", PATH=path)
    child.communicate(timeout=600)
    assert child.returncode == 1
    (run,) = runs()
    assert run.info.status == "FAILED"
    assert run.data.tags["failure"].startswith("learning_rate=abc: ")


def test_a_failed_environment_is_not_counted(call):
    """Without conda MLflow leaves its run RUNNING for ever; it is no run of ours."""
    child = call(*project("-e", "stage_a", "--env-manager", "conda"), MLFLOW_CONDA_HOME="/nonexistent")
    child.communicate(timeout=600)
    assert child.returncode != 0
    assert len(runs()) == 1
    out, _ = call(*entry("compare", json="true")).communicate(timeout=600)
    assert json.loads(out)["runs"] == []


def test_the_quickstart_trains_its_arms_and_says_how_to_look(call):
    sizes = {key: TINY[key] for key in ("N", "size", "outer_offset_train", "fno_blocks", "width", "modes")}
    child = call(*project("-e", "quickstart", **sizes, epochs=2, train_patterns=0))
    out, errors = child.communicate(timeout=600)
    assert child.returncode == 0, errors
    (parent,) = [run for run in runs() if run.info.run_name == "quickstart"]
    children = [run for run in runs() if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == 3
    assert {run.info.status for run in [parent, *children]} == {"FINISHED"}
    for run in children:
        assert run.data.tags["arm"] in out
    assert "Model training" in out
    assert f"{Path(sys.executable).parent}/mlflow ui --backend-store-uri sqlite:///" in out
