"""A worker: takes one trial after the other until nothing waits and nothing runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import optuna
from optuna.exceptions import TrialPruned
from optuna.trial import FrozenTrial, TrialState

from ptycho_mlf.quiet import quiet
from ptycho_mlf.tracking.signals import Terminated, hold, raise_lost, release

from .cell import RUNS, Context
from .kinds import Kind
from .queue_storage import QueueStorage
from .recovery import Rescue, end_runs, recover, signs_of_life
from .study import CELL, QUEUED, SURPLUS, open_trials

_POLL_S = 2.0
"""Time between two looks at a queue that is empty while others still run."""
_FAILURES = 3
"""So many failures in a row are an error of the program or the input: it would hit every trial."""


class _Attempt:
    """What becomes of a trial: a context in which it is run, and that keeps what it raises."""

    def __init__(self) -> None:
        self.state = TrialState.COMPLETE
        self.value: float | None = None
        self.error: BaseException | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, TrialPruned):
            self.state = TrialState.PRUNED
            return True
        if isinstance(error, Exception | Terminated):
            self.state, self.error = TrialState.FAIL, error
            return True
        return False


@dataclass
class Worker:
    """One process's share of a study."""

    study: optuna.Study
    storage: QueueStorage
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
        self._failures = 0
        rescue = Rescue(self.study, self.storage)
        while True:
            raise_lost()  # Replicas that wait for others are told here.
            states = open_trials(self.study)
            waiting = states[TrialState.WAITING] > 0
            if waiting or self.kind.wants_more(self.study):
                self._run_one()
            elif states[TrialState.RUNNING] or QUEUED not in self.study.user_attrs:
                rescue.look()
                threading.Event().wait(_POLL_S)
            else:
                with self.storage.exclusive():  # Not while another process takes a trial away to queue it again.
                    if not open_trials(self.study):
                        return

    def _run_one(self) -> None:
        recover(self.study, self.storage)
        with hold():  # Signals come through while the trial is run, not between its end and what is noted of it.
            trial, attempt = self._ask(), _Attempt()
            with signs_of_life(self.storage, trial._trial_id), attempt:
                self._run(trial, attempt)
            with self.storage.exclusive():  # Nobody takes it for dead between our look and its end.
                lost = self.storage.get_trial(trial._trial_id).state.is_finished()
                ended = None if lost else self._end(trial, attempt)
            if ended is None:
                # This process was silent for too long, suspended or cut off: others run the trial again.
                end_runs(self.study, trial.number, f"the worker of trial {trial.number} was taken for dead")
            elif isinstance(attempt.error, Terminated):
                end_runs(self.study, trial.number, f"the worker of trial {trial.number} was told to end")
            elif SURPLUS not in ended.user_attrs:
                self._failures = self._failures + 1 if attempt.error is not None else 0
                self.note(ended)
        if isinstance(attempt.error, Terminated) or (attempt.error is not None and self._failures >= _FAILURES):
            raise attempt.error

    def _ask(self) -> optuna.Trial:
        with quiet():  # signs_of_life does it.
            return self.study.ask()

    def _run(self, trial: optuna.Trial, attempt: _Attempt) -> None:
        if self.kind.queue_only and CELL not in trial.user_attrs:
            # Another worker took the last one between our look and our request.
            trial.set_user_attr(SURPLUS, True)
            raise TrialPruned("nothing was left to run")
        trial.set_user_attr(RUNS, [])  # What a dead worker left of this trial is no result.
        with release():
            attempt.value = self.kind.run(trial, self.context)

    def _end(self, trial: optuna.Trial, attempt: _Attempt) -> FrozenTrial:
        if isinstance(attempt.error, Terminated):
            return self._give_back(trial)
        if attempt.error is not None:
            trial.set_user_attr("error", " ".join(f"{type(attempt.error).__name__}: {attempt.error}".split())[:500])
        return self.study.tell(trial, attempt.value, attempt.state)

    def _give_back(self, trial: optuna.Trial) -> FrozenTrial:
        """Queue again what could not be finished, rather than have others wait for the heartbeat to be missed."""
        cell = trial.user_attrs.get(CELL)
        ended = self.study.tell(trial, state=TrialState.FAIL)
        if cell is not None:  # Else it was the sampler's choice, which is asked again.
            self.study.enqueue_trial(cell, user_attrs={CELL: cell})
        return ended
