"""Several workers on this machine: started, watched, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_POLL_S = 1.0
_ENDING_S = 30.0
"""How long a worker may take to close its run."""


class WorkersFailedError(RuntimeError):
    """Every worker of this machine ended, and the study is not done."""


def supervise(
    count: int,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    is_done: Callable[[], bool],
    look: Callable[[], None],
) -> None:
    """Start workers and wait until the study is done, also by workers elsewhere.

    Args:
        count: how many; 0 only waits.
        arguments: of the worker entry point.
        environment: variables that lead them to the store and experiment.
        folder: gets the output of each as `worker-<number>.log`.
        is_done: whether nothing is left to do.
        look: is called about once a second.

    Raises:
        WorkersFailedError: all of them ended before the study was done.
    """
    children = [_start(number, count, arguments, environment, folder) for number in range(1, count + 1)]
    try:
        while any(child.poll() is None for child in children) or not (children or is_done()):
            look()
            threading.Event().wait(_POLL_S)
        if not is_done():
            raise WorkersFailedError(_last_words(children, folder))
    finally:
        _end(children)
        look()


def worker_environment(count: int) -> dict[str, str]:
    """One thread each where several share this machine; the user's own setting wins."""
    return {"OMP_NUM_THREADS": "1"} if count > 1 and "OMP_NUM_THREADS" not in os.environ else {}


def _start(
    number: int, count: int, arguments: Sequence[str], environment: Mapping[str, str], folder: Path
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "entrypoints.worker", *arguments]
    variables = {**os.environ, **worker_environment(count), **environment}
    with open(folder / f"worker-{number}.log", "wb") as log:
        # A session of its own: Ctrl-C reaches them through us, once.
        return subprocess.Popen(command, env=variables, stdout=log, stderr=log, start_new_session=True)


def _end(children: Sequence[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
    for child in children:
        try:
            child.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _last_words(children: Sequence[subprocess.Popen[bytes]], folder: Path) -> str:
    words: list[str] = []
    for number, child in enumerate(children, start=1):
        lines = (folder / f"worker-{number}.log").read_text(errors="replace").strip().splitlines()
        words.append(f"worker {number} ended with {child.returncode}: {lines[-1] if lines else 'no word'}")
    return "; ".join(words)
