"""Optuna's storage, made fit for long queues and for several processes on one sqlite file."""

from __future__ import annotations

from collections.abc import Container, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from filelock import FileLock
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import select, text


class QueueStorage(RDBStorage):
    """`RDBStorage` with two repairs, and a lock for what takes several changes."""

    def __init__(self, url: str, lock_path: str | None, **arguments: Any) -> None:
        """Open the storage.

        Args:
            url: as of `RDBStorage`.
            lock_path: file under whose lock trials change state; None where the database locks rows.
            arguments: further ones of `RDBStorage`.
        """
        self._changing: AbstractContextManager[Any] = nullcontext() if lock_path is None else FileLock(lock_path)
        super().__init__(url, **arguments)

    @contextmanager
    def exclusive(self) -> Generator[None]:
        """Within this context no other process is in it; one that is killed there is out of it. Not to be nested."""
        with self._changing:
            if self.engine.name != "postgresql":
                yield
                return
            with self.engine.begin() as connection:  # The lock ends with the transaction.
                # A machine that is suspended or cut off in here must not stop all others for hours.
                connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '10min'"))
                connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('ptycho_mlf study'))"))
                yield

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Change the state of a trial if it still is what the change expects.

        sqlite knows no row locks: between Optuna's look at the state and its change two workers took the same trial.
        """
        with self._changing:
            return super().set_trial_state_values(trial_id, state, values)

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """What has changed since the last look.

        Optuna would read all that wait before every trial, half a second for 2,000. Those known to wait that still
        do are as they were.
        """
        trial = models.TrialModel
        with self.engine.connect() as connection:
            rows = connection.execute(select(trial.trial_id, trial.state).where(trial.study_id == study_id))
            there = {row.trial_id: row.state for row in rows}
        still = {number for number in included_trial_ids if there.get(number) == TrialState.WAITING}
        if not still:
            return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)
        changed = {n for n in there if (n > trial_id_greater_than or n in included_trial_ids) and n not in still}
        return super()._get_trials(study_id, states, changed, max(there)) if changed else []
