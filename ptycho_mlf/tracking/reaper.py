"""Ends runs in the store whose process died without a word (SIGKILL, power, out of memory)."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence

import psutil

from .environment import FAILURE, HEARTBEAT, HOST, PID, PID_CREATED
from .queries import PARENT_TAG, find_run, search

SILENT_S = 600.0
"""Age of the last heartbeat from which a process on another machine counts as dead."""
_CLOCK_S = 2.0
"""Two readings of one process's creation time differ by less, also when the clock is corrected in between."""


def reap(experiment_ids: Sequence[str]) -> list[str]:
    """Set RUNNING runs of ours whose process is dead to KILLED; runs without our tags are left alone.

    Returns:
        Ids of the runs that were ended.
    """
    reaped: list[str] = []
    ours = f"attributes.status = 'RUNNING' AND tags.{HEARTBEAT} LIKE '%' AND tags.{PID_CREATED} LIKE '%'"
    for run in search(experiment_ids, ours):
        if not _death(run.data.tags):
            continue
        now = find_run(run.info.run_id)  # Another process may go on with it by now.
        reason = _death(now.tags) if now.status == "RUNNING" else None
        if reason:
            _kill(run.info.run_id, reason)
            reaped.append(run.info.run_id)
    return reaped


def disown(parent: str, tags: Mapping[str, str], reason: str) -> list[str]:
    """Set the children of a run that have these tags to KILLED, also finished ones: their work is done again.

    Returns:
        Ids of the runs that were ended.
    """
    conditions = [f"tags.`{name}` = '{value}'" for name, value in {PARENT_TAG: parent, **tags}.items()]
    children = search([find_run(parent).experiment_id], " AND ".join(conditions))
    ended = [run.info.run_id for run in children if run.info.status in ("RUNNING", "FINISHED")]
    for run_id in ended:
        _kill(run_id, reason)
    return ended


def _kill(run_id: str, reason: str) -> None:
    from mlflow import MlflowClient
    from mlflow.entities import RunTag

    client = MlflowClient()
    # Not set_tag, which fails where another process gives the run the same tag at the same moment.
    client.log_batch(run_id, tags=[RunTag(FAILURE, reason)], synchronous=True)
    client.set_terminated(run_id, "KILLED")


def _death(tags: Mapping[str, str]) -> str | None:
    """Why the process of a run counts as dead, or None."""
    if tags.get(HOST) == socket.gethostname():
        pid, created = int(tags[PID]), float(tags[PID_CREATED])
        return None if _runs(pid, created) else f"process {pid} on {tags[HOST]} is gone"
    silent_s = time.time() - float(tags[HEARTBEAT])
    return f"no sign of life from {tags.get(HOST)} for {silent_s:.0f} s" if silent_s > SILENT_S else None


def _runs(pid: int, created: float) -> bool:
    """Whether the very process that had this id is alive: ids are used again."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - created) < _CLOCK_S and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
