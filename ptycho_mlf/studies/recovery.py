"""Signs of life of trials, and what becomes of those whose worker gives none: run again, their MLflow runs KILLED."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from ptycho_mlf.quiet import quiet
from ptycho_mlf.tracking.reaper import disown

from .cell import TRIAL
from .queue_storage import QueueStorage
from .study import PARENT


def recover(study: optuna.Study, storage: QueueStorage) -> None:
    """Fail the trials whose worker is dead, and queue them again: to others that is one step."""
    if not storage._get_stale_trial_ids(study._study_id):
        return
    with storage.exclusive(), quiet():
        fail_stale_trials(study)


class Rescue:
    """For those who wait for others' trials: looks again and again whether a worker has died."""

    def __init__(self, study: optuna.Study, storage: QueueStorage) -> None:
        self._study, self._storage = study, storage
        self._nursed: set[int] = set()

    def look(self) -> None:
        """Queue again what is dead.

        A trial whose worker died before its first heartbeat would never count as stale: each gets one from here.
        """
        recover(self._study, self._storage)
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial._trial_id not in self._nursed:
                self._nursed.add(trial._trial_id)
                self._storage.record_heartbeat(trial._trial_id)


def end_runs(study: optuna.Study, number: int, reason: str) -> None:
    """End the MLflow runs of a trial that is run again: they are no results, even if they just finished."""
    parent = study.user_attrs.get(PARENT)
    if parent is not None:
        disown(parent, {TRIAL: str(number)}, reason)


class Recovery:
    """Is told of every trial whose worker is dead."""

    def __init__(self, retries: int) -> None:
        self._retry = RetryHeartbeatStaleTrialCallback(max_retry=retries)

    def __call__(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Queue it again, unless that was done too often, and end its runs."""
        self._retry(study, trial)  # First, in case the tracking store is away.
        end_runs(study, trial.number, f"the worker of trial {trial.number} gave no sign of life")


@contextmanager
def signs_of_life(storage: RDBStorage, trial_id: int) -> Generator[None]:
    """Within this context a thread says that the worker of a trial is alive."""
    interval = storage.get_heartbeat_interval()
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(interval):
            try:
                storage.record_heartbeat(trial_id)
            except StorageInternalError:
                continue  # A storage that is away for a moment: the next one counts.

    storage.record_heartbeat(trial_id)
    thread = threading.Thread(target=beat, name="ptycho_mlf-trial", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
