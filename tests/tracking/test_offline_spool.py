import os
import shutil
import signal
import socket
import sys
import threading
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from ptycho_mlf.config import InputError
from ptycho_mlf.launch import LAUNCHED_FROM
from ptycho_mlf.tracking import store as store_module
from ptycho_mlf.tracking import upload
from ptycho_mlf.tracking.offline_spool import Spool
from ptycho_mlf.tracking.run_record import RunRecord
from ptycho_mlf.tracking.signals import Terminated

from ..conftest import Server


def results(folder: Path) -> Path:
    made = folder / "results"
    (made / "sub").mkdir(parents=True)
    (made / "sub" / "stats.json").write_text("{}")
    return made


def check_arrived(run_id: str, losses: int) -> None:
    client = MlflowClient()
    run = client.get_run(run_id)
    assert (run.info.status, run.data.tags["verdict"], run.data.params) == ("FINISHED", "stable", {"resolved/x": "1"})
    history = client.get_metric_history(run_id, "loss")
    assert {(m.step, m.value) for m in history} == {(step, float(step)) for step in range(losses)}
    text = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="sub/stats.json")
    assert Path(text).read_text() == "{}"
    assert len([a for a in client.list_artifacts(run_id, "images") if a.path.endswith(".png")]) == 1
    assert [given.dataset.name for given in run.inputs.dataset_inputs] == ["lines"]


def log_everything(record: RunRecord, made: Path, losses: range) -> None:
    record.log_points([("loss", step, step) for step in losses])
    record.flush()
    record.set_tags({"verdict": "stable"})
    record.log_params({"resolved/x": 1})
    record.log_dataset("lines", "ab", source="/data/lines.npz", context="training", shape=(9, 1, 8, 8))
    record.log_image(np.zeros((4, 4, 3), np.uint8), "recon", step=1)
    record.log_folder(made, hand_over=True)
    shutil.rmtree(made)


def test_server_that_goes_away_and_comes_back(server: Server, folder: Path, capsys: pytest.CaptureFixture[str]):
    with RunRecord.open(name="patient") as record:
        record.log_points([("loss", step, step) for step in range(10)])
        record.flush()
        server.stop()
        log_everything(record, results(folder), range(10, 2500))
        server.start()
    check_arrived(record.run_id, 2500)
    errors = capsys.readouterr().err
    assert errors.count("tracking store away") == 1
    assert not (folder / "ptycho_mlf-unsent").exists()


def test_server_that_stays_away(
    server: Server, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    code = Path(__file__).parent / "doubling_model.py"
    (folder / "factor.txt").write_text("2")
    impatient = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
    runs: list[str] = []
    monkeypatch.setenv(LAUNCHED_FROM, str(folder / "elsewhere"))

    def train() -> None:
        with RunRecord.open(name="lonely", patience_s=2.0) as record:
            runs.append(record.run_id)
            server.stop()
            log_everything(record, results(folder), range(5))
            assert record.log_pyfunc(code, {"factor": folder / "factor.txt"}, channels=1, side=4) is None
            impatient.start()

    with pytest.raises(Terminated):
        train()
    impatient.join()
    [run_id] = runs
    unsent = folder / "elsewhere" / "ptycho_mlf-unsent" / run_id
    assert f"python -m ptycho_mlf.tracking.upload {unsent}" in capsys.readouterr().err

    monkeypatch.setattr(sys, "argv", ["upload", str(unsent)])
    assert upload.main() == 2
    assert "not delivered, nothing is lost" in capsys.readouterr().err
    server.start()
    assert MlflowClient().get_run(run_id).info.status == "RUNNING"
    assert upload.main() == 0
    assert f"run {run_id}: delivered" in capsys.readouterr().out
    check_arrived(run_id, 5)
    assert {"model/MLmodel", "model/doubling_model.py"} <= {
        a.path for a in MlflowClient().list_artifacts(run_id, "model")
    }
    assert not unsent.exists()
    assert upload.main() == 2
    assert "not a folder with an unsent record" in capsys.readouterr().err


def test_attempts_pause_and_begin_with_a_short_question(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store_module, "_REACHABLE_S", 0.2)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:

        def listen() -> None:
            """A server that hangs: it takes requests and never answers."""
            taken: list[socket.socket] = []
            while "done" not in asked:
                taken.append(silent.accept()[0])
                asked.append(taken[-1].recv(1000).decode().split()[1].partition("?")[0].rpartition("/")[2])
            for connection in taken:
                connection.close()

        listener = threading.Thread(target=listen)
        listener.start()
        uri = "http://{}:{}".format(*silent.getsockname())
        with pytest.raises(InputError, match="no answer"):
            store_module.connect(uri)
        spool = Spool(MlflowClient(uri), "0" * 32)
        assert not spool.post({"kind": "tags", "pairs": {"a": "b"}})
        assert not spool.flush(), "this one finds the pause"
        assert not spool.flush(at_once=True)
        with socket.create_connection(silent.getsockname()) as last:
            last.sendall(b"GET /done HTTP/1.1\r\n\r\n")
            listener.join()
    assert asked == ["search", "log-batch", "search", "done"]


def test_upload_says_what_the_store_refuses_and_keeps_it(store: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    spool = Spool(MlflowClient("http://127.0.0.1:9"), "0" * 32)
    spool.add_points([("loss", 0, 1.0, 0)])
    saved = spool.close([], patience_s=0.0)
    with pytest.raises(InputError, match=r"not delivered, nothing is lost: .*0000"):
        upload.upload(saved, f"sqlite:///{store}/mlflow.db")
    assert saved.is_dir()
