"""Run a study: its record in MLflow, its queue in Optuna, its workers, and what it says in the end."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState
from rich.console import Console

from ptycho_mlf.config import InputError, RunConfig
from ptycho_mlf.config.describe import default_text
from ptycho_mlf.config.study import StudyConfig
from ptycho_mlf.runs.json_files import write_json
from ptycho_mlf.tracking.environment import HOST, PID
from ptycho_mlf.tracking.queries import find_run, has_run
from ptycho_mlf.tracking.reaper import reap
from ptycho_mlf.tracking.run_record import RunRecord, launched_run
from ptycho_mlf.tracking.store import HIDDEN, connect, shown_url

from .cell import Context
from .kinds import Kind, kind_of
from .plan import StudyPlan
from .progress import Progress
from .queue_storage import QueueStorage
from .recovery import Rescue, recover
from .replicas import work_together
from .report.collect import collect_study
from .report.estimates import estimate
from .report.findings import findings
from .report.write import write_report
from .storage import open_storage
from .study import (
    CODE,
    HEARTBEAT,
    PARENT,
    PLAN,
    QUEUED,
    TRACKING,
    check_code,
    create_or_continue,
    enqueue,
    find_study,
    missing_cells,
    not_begun,
    open_trials,
    plan_of,
    results,
)
from .study_metrics import study_metrics
from .supervisor import supervise
from .worker import Worker


class StudyIncompleteError(RuntimeError):
    """Some trials of a study have no result."""


def run_study(plan: StudyPlan, settings: StudyConfig, execution: Mapping[str, Any], command: str = "") -> None:
    """Run a study to its end, or go on with it: what has a result is not run again.

    Args:
        plan: what it computes.
        settings: where it is coordinated and by how many.
        execution: parameters of runs that decide how, not what is computed.
        command: what computes the same once more; kept with the study's run.

    Raises:
        InputError: a store or storage that cannot be used, another study of that name, or one that is being run.
        StudyIncompleteError: trials failed, or every worker of this machine did.
    """
    here = connect()
    storage, kind = open_storage(settings), kind_of(plan)
    name = settings.study or plan.default_name()
    with storage.exclusive():
        study = create_or_continue(name, plan, storage, kind.sampler(), settings.allow_other_code)
    _check_store(study, here)
    _Conductor(study, storage, kind, plan, settings, execution, command).conduct()


def resume_study(settings: StudyConfig, execution: Mapping[str, Any]) -> None:
    """Go on with a study that is there.

    Raises:
        InputError: as `run_study`, and no such study.
    """
    study, storage, kind = _found(settings)
    _Conductor(study, storage, kind, plan_of(study), settings, execution).conduct()


def join_study(settings: StudyConfig, execution: Mapping[str, Any]) -> None:
    """Work on a study that another process conducts, until nothing is left to do.

    Raises:
        InputError: as `resume_study`, and a study that has no run in the tracking store yet.
    """
    study, storage, kind = _found(settings)
    if PARENT not in study.user_attrs:
        raise not_begun(study.study_name)
    _check_heartbeat(study, settings)
    with launched_run(f"worker of {study.study_name}", {"study.kind": "worker"}):
        _work(study, storage, kind, settings, execution, Console())


def _found(settings: StudyConfig) -> tuple[optuna.Study, QueueStorage, Kind]:
    storage = open_storage(settings, make=False)
    study = find_study(settings.study, storage)
    check_code(study, settings.allow_other_code)
    _connect_to_its_store(study)
    kind = kind_of(plan_of(study))
    study.sampler = kind.sampler()
    return study, storage, kind


def _connect_to_its_store(study: optuna.Study) -> None:
    """The store that the environment names, else the one where the study began; its run has to be there."""
    tracking = os.environ.get("MLFLOW_TRACKING_URI") or study.user_attrs.get(TRACKING)
    if tracking is not None and HIDDEN in tracking:
        raise InputError(f"study={study.study_name}: set MLFLOW_TRACKING_URI to {tracking} with its password")
    _check_store(study, connect(tracking))


def _check_store(study: optuna.Study, here: str) -> None:
    parent = study.user_attrs.get(PARENT)
    if parent is not None and not has_run(parent):
        there = study.user_attrs[TRACKING]
        raise InputError(
            f"study={study.study_name}: its run is not in {shown_url(here)}; set MLFLOW_TRACKING_URI to {there}"
        )


def _check_heartbeat(study: optuna.Study, settings: StudyConfig) -> None:
    """Who listens more often than another beats takes that one for dead."""
    beats = study.user_attrs[HEARTBEAT]
    if settings.heartbeat != beats:
        raise InputError(
            f"heartbeat={settings.heartbeat}: study {study.study_name} runs with heartbeat={beats}; pass that"
        )


def _work(
    study: optuna.Study,
    storage: QueueStorage,
    kind: Kind,
    settings: StudyConfig,
    execution: Mapping[str, Any],
    console: Console,
) -> None:
    if settings.replicas == 1:
        _worker(study, storage, kind, execution, console).work()
        return
    execution = _one_thread_each(execution)
    replicas = [_replica(study, settings, execution, console) for _ in range(settings.replicas)]
    work_together(replicas, RunConfig.from_flat(execution).execution.threads)


def _replica(study: optuna.Study, settings: StudyConfig, execution: Mapping[str, Any], console: Console) -> Worker:
    """A worker with a storage, study and sampler of its own, like one in another process."""
    storage, kind = open_storage(settings), kind_of(plan_of(study))
    own = optuna.load_study(study_name=study.study_name, storage=storage, sampler=kind.sampler())
    return _worker(own, storage, kind, execution, console)


def _worker(
    study: optuna.Study, storage: QueueStorage, kind: Kind, execution: Mapping[str, Any], console: Console
) -> Worker:
    progress = Progress(study, kind.expected, _printer(console))
    context = Context(study.study_name, study.user_attrs[PARENT], execution)
    return Worker(study, storage, kind, context, progress.tell)


def _one_thread_each(execution: Mapping[str, Any]) -> dict[str, Any]:
    """Trainings that share the cores, unless the user says otherwise."""
    return {"threads": 1, **execution}


def _printer(console: Console) -> Callable[[str], None]:
    return partial(console.print, markup=False, highlight=False, soft_wrap=True)


@dataclass
class _Conductor:
    """The one process that opens and ends the run of a study."""

    study: optuna.Study
    storage: QueueStorage
    kind: Kind
    plan: StudyPlan
    settings: StudyConfig
    execution: Mapping[str, Any]
    command: str = ""
    console: Console = field(default_factory=Console)

    def conduct(self) -> None:
        """Fill the queue, have it worked off, conclude."""
        with ExitStack() as stack:
            record = self._open(stack)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ptycho_mlf-")))
            try:
                self._begin(record, folder)
                self._work_off(record, folder)
                lines = self._conclude(record, folder)
            finally:
                record.log_folder(folder)
            for line in lines:
                self._show(line)
            self._refuse_gaps()

    def _open(self, stack: ExitStack) -> RunRecord:
        """Begin the run of the study, or go on with it: of several processes that want to, one does."""
        study, plan = self.study, self.plan
        tags = {"study": study.study_name, "study.kind": plan.entry, "study.storage": shown_url(self.storage.url)}
        tags |= {f"study.{name}": default_text(value) for name, value in plan.settings.items()}
        tags |= {"study.arms": ", ".join(plan.arms)} | ({"command": self.command} if self.command else {})
        with self.storage.exclusive():
            parent = study.user_attrs.get(PARENT)
            self._check_alone(parent)
            if parent:
                stack.enter_context(launched_run(f"continues {study.study_name}", {"study.continues": parent}))
            record = stack.enter_context(RunRecord.open(name=study.study_name, tags=tags, run_id=parent))
            study.set_user_attr(PLAN, plan.to_json())  # There may be more seeds, or a larger budget.
            study.set_user_attr(HEARTBEAT, self.settings.heartbeat)
            study.set_user_attr(TRACKING, shown_url(record.environment()["MLFLOW_TRACKING_URI"]))
            study.set_user_attr(PARENT, record.run_id)  # Others can read it now.
        return record

    def _check_alone(self, parent: str | None) -> None:
        """Two conductors would both end the run. Workers may still be at work."""
        if parent is None:
            return
        if open_trials(self.study)[TrialState.RUNNING]:
            _check_heartbeat(self.study, self.settings)
        reap([find_run(parent).experiment_id])
        run = find_run(parent)
        if run.status == "RUNNING":
            who = f"process {run.tags[PID]} on {run.tags[HOST]}"
            raise InputError(
                f"study={self.study.study_name}: {who} conducts it; help it with `worker`, or end it first"
            )

    def _begin(self, record: RunRecord, folder: Path) -> None:
        """Say what will be run, then queue it: workers elsewhere may begin at once."""
        study, plan = self.study, self.plan
        document = plan.to_json() | {"study": study.study_name, "code": study.user_attrs[CODE]}
        write_json(folder / "arms.json", document | {"storage": shown_url(self.storage.url)})
        record.log_folder(folder)  # Reports read it, also the one at the end of this very study.
        record.set_tags({f"impossible.{arm}": reason for arm, reason in plan.impossible.items()})
        for arm, reason in plan.impossible.items():
            self._show(f"{arm}: impossible, not run ({reason})")
        recover(study, self.storage)
        with self.storage.exclusive():  # Not while a worker takes a trial away to queue it again.
            new, there = enqueue(study, self.kind.cells()), len(results(study))
        study.set_user_attr(QUEUED, True)
        self._show(f"study {study.study_name}: {there} results there, {new} trials queued")

    def _work_off(self, record: RunRecord, folder: Path) -> None:
        if self.settings.workers == 1:
            _work(self.study, self.storage, self.kind, self.settings, self.execution, self.console)
            return
        # A session that goes on keeps what the workers of the one before said in the end.
        logs = folder / "workers" / f"{datetime.now(UTC):%Y-%m-%dT%H%M%S}"
        logs.mkdir(parents=True)
        rescue = Rescue(self.study, self.storage)
        progress = Progress(self.study, self.kind.expected, self._show)

        def is_done() -> bool:
            rescue.look()  # With workers elsewhere alone, nobody else would notice that they died.
            with self.storage.exclusive():  # Not while one of them takes a trial away to queue it again.
                return not open_trials(self.study) and not self.kind.wants_more(self.study)

        supervise(self.settings.workers, self._arguments(), record.environment(), logs, is_done, progress.look)

    def _arguments(self) -> list[str]:
        """Of the worker entry point."""
        settings = self.settings.model_dump() | {"study": self.study.study_name, "storage": self.storage.url}
        execution = _one_thread_each(self.execution) if self.settings.workers > 1 else self.execution
        values = {**settings, **execution, "allow_other_code": True}
        del values["workers"]
        return [word for name, value in values.items() for word in (f"--{name}", default_text(value))]

    def _conclude(self, record: RunRecord, folder: Path) -> list[str]:
        """The report of what is there, and what this kind of study has to say."""
        if not results(self.study):
            return []
        data = collect_study(record.run_id)
        found = estimate(data)
        own = self.kind.conclude(self.study, found, folder)
        write_report(data, folder)
        record.set_tags({"mlflow.note.content": (folder / "summary.md").read_text()})
        record.log_metrics(study_metrics(found), step=0)
        return [*findings(data, found), *own]

    def _refuse_gaps(self) -> None:
        missing = missing_cells(self.study, self.kind.cells())
        if missing:
            raise StudyIncompleteError(
                f"study {self.study.study_name}: {len(missing)} cells have no result, such as {missing[0]}; "
                "see tag `failure` of their runs, then go on with `resume`"
            )

    def _show(self, line: str) -> None:
        _printer(self.console)(line)
