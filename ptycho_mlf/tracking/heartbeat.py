"""A thread that says that the process of a run is alive, and ends it when the `mlflow run` above it is gone."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import psutil

from .environment import HEARTBEAT

if TYPE_CHECKING:
    from mlflow import MlflowClient

BEAT_S = 30.0
"""Time between two heartbeats."""
_WATCH_S = 2.0
"""Time between two looks at the launcher."""


class Heartbeat:
    """Writes tag `heartbeat` (unix time, s) of a run every 30 s until stopped.

    A killed `mlflow run` leaves its child running with nobody to wait for it; such a child gets SIGTERM from here.
    """

    def __init__(
        self, client: MlflowClient, run_id: str, launcher: psutil.Process | None, beat_s: float = BEAT_S
    ) -> None:
        self._client, self._run_id, self._launcher = client, run_id, launcher
        self._beat_s = beat_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="ptycho_mlf-heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a beat under way to a store that hangs is not waited for longer than 1 s."""
        self._stop.set()
        self._thread.join(timeout=1.0)

    def _beat(self) -> None:
        from mlflow.exceptions import MlflowException

        due = time.monotonic() + self._beat_s
        while not self._stop.wait(min(_WATCH_S, self._beat_s)):
            if self._launcher is not None and not _alive(self._launcher):
                self._launcher = None
                os.kill(os.getpid(), signal.SIGTERM)
            if time.monotonic() >= due:
                due = time.monotonic() + self._beat_s
                try:
                    self._client.set_tag(self._run_id, HEARTBEAT, f"{time.time():.0f}", synchronous=True)
                except MlflowException:
                    continue  # A missed beat is what it says; the record itself reports a store that is away.


def project_launcher() -> psutil.Process:
    """The `mlflow run` process above this one, past the shell it starts the command in; else the parent."""
    parents = psutil.Process().parents()
    return next((parent for parent in parents if _is_mlflow(parent)), psutil.Process(os.getppid()))


def _is_mlflow(process: psutil.Process) -> bool:
    try:
        words = [os.path.basename(word) for word in process.cmdline()[:4]]
    except psutil.Error:
        return False
    return "mlflow" in words and "run" in process.cmdline()


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
