"""Questions to the tracking store about runs of ours: those with tag `fingerprint`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import hexdigits
from typing import TYPE_CHECKING

from ptycho_mlf.collector import collector_paused
from ptycho_mlf.config import InputError

from .environment import FINGERPRINT
from .store import DEFAULT_EXPERIMENT, is_missing

if TYPE_CHECKING:
    from mlflow.entities import Run

PARENT_TAG = "mlflow.parentRunId"
_PAGE = 1000
_SHORTEST_ID, _ID = 8, 32
"""Digits: the table of runs shows as many as the first."""


@dataclass(frozen=True)
class RunSummary:
    """What the store knows about a run."""

    run_id: str
    name: str
    status: str
    """RUNNING, FINISHED, FAILED or KILLED."""
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    """Last value of every series."""
    start_time: float
    """Unix time, s."""
    parent: str | None
    """Id of the study's run."""
    experiment_id: str
    artifact_uri: str = ""
    """Where the store keeps its artifacts: a folder, or what a server makes of it."""


def find_runs(
    experiment_name: str | None = None,
    run_ids: Sequence[str] | None = None,
    parent: str | None = None,
    statuses: Sequence[str] | None = None,
) -> list[RunSummary]:
    """Runs of ours in the connected store, oldest first.

    Args:
        experiment_name: look in this experiment; else where the named runs or the parent are, else in `ptycho_mlf`.
        run_ids: these runs, in this order. Here and in all questions below the first 8 digits of an id are enough.
        parent: only children of this run.
        statuses: only runs with one of these.

    Raises:
        InputError: an experiment or run that does not exist, or a named run that is not ours.
    """
    parent_run = _run(parent) if parent else None
    parent = parent_run.info.run_id if parent_run else parent
    if run_ids is not None:
        found = [_our_run(run_id) for run_id in run_ids]
    else:
        ours = f"tags.{FINGERPRINT} LIKE '%'"
        children = f" AND tags.`{PARENT_TAG}` = '{parent}'" if parent else ""
        experiment_ids = _experiments(experiment_name, parent_run)
        found = sorted((_summary(run) for run in search(experiment_ids, ours + children)), key=lambda r: r.start_time)
    wanted = [run for run in found if statuses is None or run.status in statuses]
    return [run for run in wanted if parent is None or run.parent == parent]


def child_runs(parent: str) -> list[RunSummary]:
    """Children of a run, oldest first.

    Raises:
        InputError: no such run.
    """
    return find_runs(parent=parent)


def find_studies(name: str) -> list[RunSummary]:
    """Parent runs of the studies of a name in all experiments, newest first."""
    from mlflow import MlflowClient

    experiment_ids = [found.experiment_id for found in MlflowClient().search_experiments()]
    # The name is compared here: MLflow's filters know no way to write every text.
    studies = (_summary(run) for run in search(experiment_ids, "tags.`study.kind` LIKE '%'"))
    return sorted((run for run in studies if run.tags.get("study") == name), key=lambda run: -run.start_time)


def find_run(run_id: str) -> RunSummary:
    """One run, of ours or not.

    Raises:
        InputError: no such run.
    """
    return _summary(_run(run_id))


def has_run(run_id: str) -> bool:
    """Whether the connected store has a run."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        MlflowClient().get_run(run_id)
    except MlflowException as error:
        if is_missing(error):
            return False
        raise
    return True


def download_artifact(run_id: str, path: str) -> Path:
    """A local file or folder with an artifact; artifacts on this machine are not copied.

    Raises:
        InputError: no such run or artifact.
    """
    import mlflow.artifacts
    from mlflow.exceptions import MlflowException

    try:
        return Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=path))
    except (MlflowException, OSError) as error:
        if isinstance(error, OSError) or is_missing(error):
            raise InputError(f"run {run_id}: no artifact {path} ({' '.join(str(error).split())[:200]})") from None
        raise


def search(experiment_ids: Sequence[str], filter_string: str) -> Iterator[Run]:
    """All runs of some experiments that a filter lets through, page by page."""
    from mlflow import MlflowClient

    client, token = MlflowClient(), None
    while experiment_ids:
        with collector_paused():  # MLflow makes some 200 objects a run.
            page = client.search_runs(list(experiment_ids), filter_string, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _experiments(name: str | None, parent: Run | None) -> list[str]:
    from mlflow import MlflowClient

    if parent and not name:
        return [parent.info.experiment_id]
    found = MlflowClient().get_experiment_by_name(name or DEFAULT_EXPERIMENT)
    if found is None and name:
        raise InputError(f"experiment {name}: there is none with this name in the tracking store")
    return [found.experiment_id] if found else []


def _our_run(run_id: str) -> RunSummary:
    run = _run(run_id)
    if FINGERPRINT not in run.data.tags:
        raise InputError(f"run {run_id}: it was not made by ptycho_mlf (no tag {FINGERPRINT})")
    return _summary(run)


def _run(run_id: str) -> Run:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        return MlflowClient().get_run(run_id)
    except MlflowException as error:
        if not is_missing(error):
            raise
    found = _beginning_with(run_id) if _SHORTEST_ID <= len(run_id) < _ID and set(run_id) <= set(hexdigits) else []
    if len(found) > 1:
        raise InputError(f"run {run_id}: {len(found)} runs have ids that begin so; give more of it")
    if not found:
        raise InputError(f"run {run_id}: there is none with this id in the tracking store")
    return found[0]


def _beginning_with(start: str) -> list[Run]:
    from mlflow import MlflowClient

    experiment_ids = [found.experiment_id for found in MlflowClient().search_experiments()]
    return list(search(experiment_ids, f"attributes.run_id LIKE '{start}%'"))


def _summary(run: Run) -> RunSummary:
    return RunSummary(
        run_id=run.info.run_id,
        name=run.info.run_name or "",
        status=run.info.status,
        params=run.data.params,
        tags=run.data.tags,
        metrics=run.data.metrics,
        start_time=run.info.start_time / 1000,
        parent=run.data.tags.get(PARENT_TAG),
        experiment_id=run.info.experiment_id,
        artifact_uri=run.info.artifact_uri or "",
    )
