"""A worker: takes one trial after the other until nothing waits and nothing runs."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import optuna
from optuna.exceptions import ExperimentalWarning, TrialPruned
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from ptycho_mlf.tracking.signals import Terminated

from .cell import RUNS, Context
from .kinds import Kind
from .study import CELL, QUEUED, SURPLUS, open_trials

_POLL_S = 2.0
"""Time between two looks at a queue that is empty while others still run."""
_FAILURES = 3
"""So many failures in a row are an error of the program or the input: it would hit every trial."""


def recover(study: optuna.Study) -> None:
    """Fail the trials whose worker is dead, and queue them again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        fail_stale_trials(study)


@dataclass
class Worker:
    """One process's share of a study."""

    study: optuna.Study
    storage: RDBStorage
    kind: Kind
    context: Context
    note: Callable[[FrozenTrial], None]
    """Is told of every trial this worker ended."""

    def work(self) -> None:
        """Run trials until there is nothing left to do for anybody.

        Others' trials are waited for: if their worker dies, somebody has to run them again.

        Raises:
            Exception: what the last of several failures in a row raised.
        """
        self._failures, self._error = 0, None
        self._nursed: set[int] = set()
        while True:
            states = open_trials(self.study)
            waiting = states[TrialState.WAITING] > 0
            if waiting or self.kind.wants_more(self.study):
                self._run_one()
            elif states[TrialState.RUNNING] or QUEUED not in self.study.user_attrs:
                self._linger()
            else:
                return

    def _run_one(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self.study.optimize(self._objective, n_trials=1, catch=(Exception,), callbacks=[self._ended])
        if self._failures >= _FAILURES and self._error is not None:
            raise self._error

    def _objective(self, trial: optuna.Trial) -> float:
        if self.kind.queue_only and CELL not in trial.user_attrs:
            # Another worker took the last one between our look and our request.
            trial.set_user_attr(SURPLUS, True)
            raise TrialPruned("nothing was left to run")
        trial.set_user_attr(RUNS, [])  # What a dead worker left of this trial is no result.
        try:
            return self.kind.run(trial, self.context)
        except TrialPruned:
            raise
        except Terminated:
            self._give_back(trial)
            raise
        except Exception as error:
            self._error = error
            trial.set_user_attr("error", " ".join(f"{type(error).__name__}: {error}".split())[:500])
            raise

    def _give_back(self, trial: optuna.Trial) -> None:
        """Queue again what could not be finished, rather than have others wait for the heartbeat to be missed."""
        values = dict(trial.params)
        self.study.tell(trial.number, state=TrialState.FAIL)
        self.study.enqueue_trial(values, user_attrs={CELL: values})

    def _ended(self, study: optuna.Study, trial: FrozenTrial) -> None:
        if SURPLUS in trial.user_attrs:
            return
        self._failures = self._failures + 1 if trial.state == TrialState.FAIL else 0
        self.note(trial)

    def _linger(self) -> None:
        recover(self.study)
        self._nurse()
        threading.Event().wait(_POLL_S)

    def _nurse(self) -> None:
        """Give running trials one heartbeat: one whose worker died before its first would never count as stale."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial._trial_id not in self._nursed:
                self._nursed.add(trial._trial_id)
                self.storage.record_heartbeat(trial._trial_id)
