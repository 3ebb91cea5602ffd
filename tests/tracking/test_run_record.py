import json
import math
import os
import signal
import sys
from importlib.metadata import version
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from ptycho_mlf.config import InputError
from ptycho_mlf.tracking.run_record import RunRecord, fail_given_run
from ptycho_mlf.tracking.signals import Terminated
from ptycho_mlf.tracking.store import experiment


def stored(run_id: str) -> Run:
    return MlflowClient().get_run(run_id)


def test_what_a_run_leaves_in_the_store(store: Path):
    results = store / "results"
    (results / "reconstruction").mkdir(parents=True)
    (results / "config.json").write_text("{}")
    (results / "reconstruction" / "best.npz").write_bytes(b"12")
    with RunRecord.open(
        name="control-adam",
        tags={"fingerprint": "ff", "seed": 7},
        params={"learning_rate": 3e-4, "set_phi": True},
        description="# A run",
    ) as record:
        assert stored(record.run_id).info.status == "RUNNING"
        record.log_params({"resolved/warmup": 5, "learning_rate": 0.0003})
        record.log_points([("train/loss", step, 1 / (step + 1)) for step in range(2300)])
        record.log_metrics({"overflow": math.inf, "underflow": -math.inf, "undefined": math.nan, "fine": 2}, step=3)
        record.log_folder(results)
        record.log_image(np.linspace(0, 1, 600).reshape(20, 30), "recon/amp", step=3)
        record.log_dataset(
            "lines", "ab" * 32, source=None, context="training", shape=(100, 1, 64, 64), profile={"photons": 1e9}
        )
        record.set_tags({"verdict": "x" * 9000})
    run, client = stored(record.run_id), MlflowClient()
    assert (run.info.run_name, run.info.status, run.info.experiment_id) == ("control-adam", "FINISHED", experiment())
    assert run.data.params == {"learning_rate": "0.0003", "set_phi": "true", "resolved/warmup": "5"}
    expected = {"fingerprint": "ff", "seed": "7", "mlflow.note.content": "# A run", "pid": str(os.getpid())}
    assert expected.items() <= run.data.tags.items()
    assert run.data.tags["version.python"] == ".".join(map(str, sys.version_info[:3]))
    assert run.data.tags["version.torch"]
    assert len(run.data.tags["verdict"]) == 8000
    losses = client.get_metric_history(record.run_id, "train/loss")
    assert {(m.step, m.value) for m in losses} == {(step, 1 / (step + 1)) for step in range(2300)}
    assert {"overflow", "underflow"}.isdisjoint(run.data.metrics), "MLflow would show 1.8e308"
    assert math.isnan(run.data.metrics["undefined"])
    assert run.data.metrics["fine"] == 2
    assert {a.path for a in client.list_artifacts(record.run_id)} == {"config.json", "reconstruction", "images"}
    images = [a.path for a in client.list_artifacts(record.run_id, "images")]
    assert any(path.startswith("images/recon~amp+step+3+") and path.endswith(".png") for path in images)
    [given] = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("lines", ("ab" * 32)[:36])
    assert [(tag.key, tag.value) for tag in given.tags] == [("mlflow.data.context", "training")]
    assert json.loads(given.dataset.profile) == {"shape": [100, 1, 64, 64], "photons": 1e9}


def test_a_folder_that_is_handed_over_is_moved_and_another_is_left_as_it_is(store: Path):
    results = store / "results"
    kept = {"config.json": "{}", "checkpoints/last.ckpt": "abc"}
    with RunRecord.open(name="m") as record:
        for hand_over in (False, True):  # What is there already is replaced.
            for name, text in kept.items():
                (results / name).parent.mkdir(parents=True, exist_ok=True)
                (results / name).write_text(text)
            before = {name: (results / name).stat().st_ino for name in kept}
            record.log_folder(results, hand_over=hand_over)
            stored_at = Path(mlflow.artifacts.download_artifacts(run_id=record.run_id))
            assert {p.relative_to(stored_at).as_posix() for p in stored_at.rglob("*.*")} == set(kept)
            assert {name: (stored_at / name).read_text() for name in kept} == kept
            assert [(results / name).exists() for name in kept] == [not hand_over] * 2
            moved = [(stored_at / name).stat().st_ino == before[name] for name in kept]
            assert moved == [hand_over] * 2  # The very files: not one byte was copied.


def test_model_loads_and_predicts_from_the_run(store: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of the environment")
    (store / "factor.txt").write_text("2.5")
    (store / "results.py").write_text("carried = True")
    code = Path(__file__).parent / "doubling_model.py"
    with RunRecord.open(name="m", experiment_name="own") as record:
        record.log_metrics({"val/loss": 0.5}, step=40)
        artifacts = {"factor": store / "factor.txt"}
        model_id = record.log_pyfunc(code, artifacts, channels=1, side=4, step=40, code_paths=[store / "results.py"])
    amplitude = np.arange(48, dtype=np.float32).reshape(3, 1, 4, 4)
    model = mlflow.pyfunc.load_model(f"runs:/{record.run_id}/model")
    patches = model.predict(amplitude)
    assert patches.shape == (3, 1, 4, 4, 2)
    np.testing.assert_array_equal(patches[..., 0], 2.5 * amplitude)
    with pytest.raises(mlflow.exceptions.MlflowException):
        model.predict(amplitude[..., :3])
    logged = MlflowClient().get_logged_model(model_id)
    assert (logged.experiment_id, logged.source_run_id) == (record.experiment_id, record.run_id)
    assert [(metric.key, metric.value) for metric in logged.metrics] == [("val/loss", 0.5)]
    files = [p for p in Path(mlflow.artifacts.download_artifacts(f"models:/{model_id}")).rglob("*") if p.is_file()]
    assert not [p for p in files if p.suffix in (".pkl", ".pickle", ".pt")]
    content = {path.name: path.read_text() for path in files}
    assert content["results.py"] == "carried = True"
    wanted = {name: version(name).split("+")[0] for name in ("mlflow", "numpy", "safetensors", "torch")}
    assert dict(line.split("==") for line in content["requirements.txt"].split()) == wanted


def begun_by_mlflow_run(params: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    client = MlflowClient()
    run_id = client.create_run(experiment()).info.run_id
    for key, value in params.items():
        client.log_param(run_id, key, value)
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    return run_id


def test_takes_over_the_run_of_mlflow_run(store: Path, monkeypatch: pytest.MonkeyPatch):
    typed = {"learning_rate": "3e-4", "set_phi": "True", "cache_dir": "''"}
    run_id = begun_by_mlflow_run(typed, monkeypatch)
    params = {"learning_rate": 0.0003, "set_phi": True, "cache_dir": "", "epochs": 20}
    with RunRecord.open(name="arm", params=params) as record:
        assert "MLFLOW_RUN_ID" not in os.environ, "a run below this one must not take it over again"
        environment = record.environment()
        with RunRecord.open(name="child", parent_run_id=record.run_id) as child:
            pass
    assert record.run_id == run_id
    run = stored(run_id)
    assert (run.info.run_name, run.info.status) == ("arm", "FINISHED")
    assert run.data.params == {**typed, "epochs": "20"}
    assert stored(child.run_id).data.tags["mlflow.parentRunId"] == run_id

    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    with RunRecord.open(name="child of another process") as grandchild:
        pass
    run = stored(grandchild.run_id)
    assert run.data.tags["mlflow.parentRunId"] == run_id
    assert run.info.experiment_id == record.experiment_id


def test_contradicting_parameter_fails_the_run_with_its_reason(store: Path, monkeypatch: pytest.MonkeyPatch):
    run_id = begun_by_mlflow_run({"learning_rate": "3e-4"}, monkeypatch)
    with (
        pytest.raises(InputError, match=r"learning_rate=0.01: the run already has learning_rate=3e-4"),
        RunRecord.open(name="x", params={"learning_rate": 0.01}),
    ):
        raise AssertionError("not reached")
    run = stored(run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags["failure"] == "learning_rate=0.01: the run already has learning_rate=3e-4"


def test_wrong_run_id_and_wrong_experiment(store: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with pytest.raises(InputError, match=r"MLFLOW_RUN_ID=0{32}: there is no such run"), RunRecord.open(name="x"):
        pass
    run_id = begun_by_mlflow_run({}, monkeypatch)
    elsewhere = RunRecord.open(name="x", experiment_name="elsewhere")
    with pytest.raises(InputError, match=f"`mlflow run` began run {run_id} in another"), elsewhere:
        pass


def test_a_run_that_cannot_start_says_why(store: Path, monkeypatch: pytest.MonkeyPatch):
    run_id = begun_by_mlflow_run({}, monkeypatch)
    fail_given_run("epochs=-1: must be positive")
    fail_given_run("there is no second run to fail")
    assert stored(run_id).info.status == "FAILED"
    assert stored(run_id).data.tags["failure"] == "epochs=-1: must be positive"


@pytest.mark.parametrize(
    ("error", "status", "failure"),
    [
        (ValueError("two\nlines"), "FAILED", "ValueError: two lines"),
        (SystemExit(3), "FAILED", "SystemExit: 3"),
        (SystemExit(0), "FINISHED", None),
        (KeyboardInterrupt(), "KILLED", "interrupted"),
        (Terminated(signal.SIGTERM), "KILLED", "SIGTERM"),
    ],
)
def test_status_in_the_end(store: Path, error: BaseException, status: str, failure: str | None):
    runs: list[str] = []

    def train() -> None:
        with RunRecord.open(name="x") as record:
            runs.append(record.run_id)
            record.log_metrics({"loss": 1}, step=0)
            raise error

    with pytest.raises(type(error)):
        train()
    [run_id] = runs
    run = stored(run_id)
    assert (run.info.status, run.data.tags.get("failure")) == (status, failure)
    assert run.info.end_time
    assert run.data.metrics == {"loss": 1}, "what was logged before is sent"
    artifacts = {a.path for a in MlflowClient().list_artifacts(run_id)}
    assert artifacts == ({"failure.txt"} if status == "FAILED" else set())
    if artifacts:
        trace = Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="failure.txt")).read_text()
        assert "Traceback" in trace
        assert "raise error" in trace


def test_what_the_store_refuses_fails_the_run_and_is_kept(store: Path, capsys: pytest.CaptureFixture[str]):
    runs: list[str] = []

    def train() -> None:
        with RunRecord.open(name="x") as record:
            runs.append(record.run_id)
            record.log_points([("bad$key", 0, 1.0)])
            record.set_tags({"arm": "a"})

    with pytest.raises(mlflow.exceptions.MlflowException, match=r"bad\$key"):
        train()
    run = stored(runs[0])
    assert (run.info.status, run.data.tags["arm"]) == ("FAILED", "a")
    [unsent] = (store / "ptycho_mlf-unsent").iterdir()
    assert str(unsent) in capsys.readouterr().err


def test_an_artifact_folder_that_cannot_be_written_is_refused_before_a_run(store: Path):
    (store / "mlruns").write_text("in the way")
    with pytest.raises(InputError, match=r"artifact folder .* cannot be written"), RunRecord.open(name="refused"):
        raise AssertionError
    client = MlflowClient()
    assert client.search_runs([found.experiment_id for found in client.search_experiments()]) == []
