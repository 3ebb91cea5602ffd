"""Several trainings at once in one process: each thread is a worker of its own, with its own trials and runs.

What belongs to the process is set once around them all: handlers of signals, CPU threads, filters of warnings.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from ptycho_mlf.quiet import quiet
from ptycho_mlf.tracking.signals import Relay, relaying, terminating

from .worker import Worker

_LOOK_S = 1.0
"""Time between two looks for a signal that came without waking this thread."""


def work_together(workers: Sequence[Worker], threads: int) -> None:
    """Have workers of one study work side by side until nothing is left to do for anybody.

    An error ends the worker that met it, as it would end a process; the others go on. A signal ends them all.

    Args:
        workers: each with a study and a storage of its own.
        threads: CPU threads of each.

    Raises:
        Terminated: after SIGTERM or Ctrl-C, when all trials are given back.
        Exception: that of a worker, if all of them ended with one.
    """
    # What trains is imported here, by one thread: torch takes seconds, and modules that import each other do not bear
    # to be imported from two sides.
    importlib.import_module("ptycho_mlf.runs.stage_a")
    from ptycho_mlf.training.threads import cpu_threads

    with (
        terminating(),
        quiet(),
        cpu_threads(threads),
        relaying() as relay,
        ThreadPoolExecutor(len(workers), thread_name_prefix="replica") as pool,
    ):
        ends = [pool.submit(_work, number, worker, relay) for number, worker in enumerate(workers, start=1)]
        while wait(ends, _LOOK_S).not_done:
            pass  # Here Python looks for signals.
    errors = [error for end in ends if (error := end.exception()) is not None]
    if len(errors) == len(ends):
        raise errors[-1]


def _work(number: int, worker: Worker, relay: Relay) -> None:
    threading.current_thread().name = f"replica {number}"
    with relay.heard():
        try:
            worker.work()
        finally:
            worker.storage.remove_session()  # Connections are the thread's own.
