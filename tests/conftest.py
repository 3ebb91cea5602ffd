"""The smallest real run, and real stores: sqlite files copied from one template, one MLflow server, child processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch

from ptycho_mlf.config import RunConfig
from ptycho_mlf.tracking.store import connect

from .postgres_server import ATTEMPTS, Postgres, find_binaries, free_port, postgres

TINY = {
    "N": 16,
    "size": 64,
    "outer_offset_train": 12,
    "architecture": "hybrid",
    "fno_blocks": 2,
    "width": 4,
    "modes": 4,
    "epochs": 2,
    "batch_size": 16,
    "learning_rate": 3e-3,
    "accelerator": "cpu",
}
"""81 train windows, of which 9 validate, so 5 steps an epoch with a last batch of 8; 25 test patterns."""


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Test processes share the cores; more threads only get into each other's way."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def dataset_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture
def tiny(dataset_cache: Path) -> Callable[..., RunConfig]:
    """A tiny configuration with some parameters changed."""

    def build(**changes: Any) -> RunConfig:
        return RunConfig.from_flat({**TINY, "cache_dir": str(dataset_cache), **changes})

    return build


VARIABLES = ("TRACKING_URI", "RUN_ID", "EXPERIMENT_NAME", "EXPERIMENT_ID")
OURS = ("PTYCHO_MLF_RUN_NAME", "PTYCHO_MLF_PARENT_RUN_ID", "PTYCHO_MLF_PLUGIN", "PTYCHO_MLF_LAUNCHED_FROM")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    connect(f"sqlite:///{path}")
    mlflow.set_tracking_uri(None)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder, no MLflow settings."""
    for name in (*(f"MLFLOW_{name}" for name in VARIABLES), *OURS):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    mlflow.set_tracking_uri(None)


@pytest.fixture
def store(template: Path, folder: Path) -> Path:
    """A working folder with a connected store."""
    shutil.copy(template, folder / "mlflow.db")
    connect()
    return folder


@pytest.fixture
def python(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts Python code as a child process in the working folder."""
    children: list[subprocess.Popen[str]] = []

    def start(code: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code]
        variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        child = subprocess.Popen(
            command, cwd=folder, env=variables, stdout=-1, stderr=-1, text=True, start_new_session=True
        )
        children.append(child)
        return child

    yield start
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # Its children too: they hold its output open.
        child.communicate()


class Server:
    """An MLflow server with its own database and artifacts, which can be stopped and started again."""

    def __init__(self, folder: Path, backend: str) -> None:
        self.folder, self._backend, self._log = folder, backend, folder / "log.txt"
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """On a port of its own; again on the same one, for those who know it."""
        if self.port:
            assert self._start(), self._log.read_text()
            return
        for _ in range(ATTEMPTS):
            self.port = free_port()
            if self._start():
                return
            assert "address already in use" in self._log.read_text(), self._log.read_text()
        raise AssertionError(self._log.read_text())

    def _start(self) -> bool:
        """Whether it is up; else it has ended."""
        options = {
            "--backend-store-uri": self._backend,
            "--artifacts-destination": str(self.folder / "artifacts"),
            "--host": "127.0.0.1",
            "--port": str(self.port),
            "--workers": "1",
        }
        command = [sys.executable, "-m", "mlflow", "server", *(word for pair in options.items() for word in pair)]
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen(
                command, env={**os.environ, **quiet}, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
        for _ in range(6000):
            if self.process.poll() is not None:
                return False
            if self._healthy():
                return True
            threading.Event().wait(0.1)
        raise AssertionError("the server did not start in ten minutes")

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


@pytest.fixture(scope="session")
def running_server(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(template, folder / "mlflow.db")
    server = Server(folder, f"sqlite:///{folder}/mlflow.db")
    yield server
    server.stop()


@pytest.fixture
def server(running_server: Server, folder: Path) -> Server:
    """The session's server, up and connected."""
    if running_server.process is None:
        running_server.start()
    connect(running_server.url)
    return running_server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """One PostgreSQL for all tests of a session, each of which makes its own databases."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server on this machine (Debian: apt-get install postgresql)")
    # pytest's own folders are closed to the user the server runs as.
    with tempfile.TemporaryDirectory(prefix="ptycho_mlf-") as folder, postgres(binaries, Path(folder)) as server:
        yield server
