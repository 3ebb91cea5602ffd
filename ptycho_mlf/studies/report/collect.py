"""Read the runs of a study from the tracking store. What a killed or failed run does not have is left out, and said."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ptycho_mlf.config import InputError
from ptycho_mlf.tracking.artifacts import Files, fetch_artifacts
from ptycho_mlf.tracking.environment import ROLE
from ptycho_mlf.tracking.queries import RunSummary, child_runs, find_run, find_runs, find_studies
from ptycho_mlf.tracking.reaper import reap

from .curves import bucket_length, read_series, trace_length
from .data import Member, Outcome, StudyData, Validations
from .pictures import WEIGHTS, arm_pictures, chosen_members, reconstruction

_TRACE, _HISTORY = "trace.parquet", "history.json"
_PLAN = "arms.json"
_IMPOSSIBLE = "impossible."
"""Tags of the parent run with this beginning: arm to reason."""
_WANTED = (_TRACE, _HISTORY)


def find_parent(study: str) -> RunSummary:
    """The newest run of a study of this name.

    Raises:
        InputError: there is none.
    """
    found = find_studies(study)
    if not found:
        raise InputError(f"study={study}: there is no study of this name in the tracking store")
    return found[0]


def collect_study(parent_run_id: str) -> StudyData:
    """All runs below a parent run, whatever became of them.

    Raises:
        InputError: no such run, or no run of ours below it.
    """
    parent = find_run(parent_run_id)
    reap([parent.experiment_id])
    runs = [run for run in child_runs(parent_run_id) if ROLE not in run.tags]
    if not runs:
        raise InputError(f"parent={parent_run_id}: there is no run of ptycho_mlf below it")
    tags = parent.tags
    return _collect(runs, tags.get("study", parent.name), tags.get("study.kind", ""), parent)


def collect_runs(run_ids: Sequence[str]) -> StudyData:
    """Any runs.

    Raises:
        InputError: a run that does not exist or is not ours.
    """
    wanted = list(dict.fromkeys(run_ids))
    runs = find_runs(run_ids=wanted)
    if reap(sorted({run.experiment_id for run in runs})):
        runs = find_runs(run_ids=wanted)
    return _collect(runs, f"{len(runs)} runs" if len(runs) > 1 else "1 run", "", None)


def _collect(runs: Sequence[RunSummary], name: str, kind: str, parent: RunSummary | None) -> StudyData:
    with tempfile.TemporaryDirectory(prefix="ptycho_mlf-") as scratch:
        files = fetch_artifacts(runs, _WANTED, Path(scratch))
        traces = [path for (_, artifact), path in files.items() if artifact == _TRACE]
        bucket = bucket_length([trace_length(path) for path in traces])
        members = tuple(_member(run, files, bucket) for run in runs)
        by_id = {run.run_id: run for run in runs}
        chosen = chosen_members(members)
        pictured = [by_id[member.run_id] for _, member in chosen]
        images = fetch_artifacts(pictured, [reconstruction(weights) for weights in WEIGHTS], Path(scratch))
        return StudyData(
            name=name,
            kind=kind,
            members=members,
            bucket=bucket,
            parent=None if parent is None else parent.run_id,
            command="" if parent is None else parent.tags.get("command", ""),
            made_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            impossible=_impossible_arms(parent),
            pictures=arm_pictures(chosen, images),
            rate_range=None if parent is None else _rate_range(parent, Path(scratch)),
        )


def _member(run: RunSummary, files: Files, bucket: int) -> Member:
    tags = run.tags
    trace = files.get((run.run_id, _TRACE))
    history = files.get((run.run_id, _HISTORY))
    # A run that ended before its first step has a trace without rows.
    steps = None if trace is None else trace_length(trace)
    loss, grad_norm = read_series(trace, bucket) if trace is not None and steps else (None, None)
    onset = tags.get("verdict.onset_step")
    return Member(
        run_id=run.run_id,
        name=run.name,
        arm=tags.get("arm", ""),
        seed=tags.get("seed", ""),
        status=run.status,
        verdict=tags.get("verdict"),
        outcome=outcome_of(tags),
        dataset_hash=tags.get("dataset_hash", ""),
        params={name: text for name, text in run.params.items() if not name.startswith("resolved/")},
        metrics=run.metrics,
        onset_step=None if onset is None else int(onset),
        stopped_early="stopped_early" in tags,
        reason=tags.get("failure", ""),
        steps=steps,
        loss=loss,
        grad_norm=grad_norm,
        validations=None if history is None else _validations(json.loads(history.read_text())),
        missing=tuple(name for name in _WANTED if (run.run_id, name) not in files),
    )


def outcome_of(tags: Mapping[str, str]) -> Outcome:
    """What the tags of a run say about stability."""
    if "pruned" in tags:
        return "pruned"
    crash, verdict = tags.get("verdict.crash"), tags.get("verdict")
    if crash in ("true", "false"):
        return "crashed" if crash == "true" else "survived"
    if verdict == "stagnated":
        return "stagnated"
    return "oom" if verdict == "oom" else "none"


def _validations(history: Mapping[str, Any]) -> Validations:
    rows, initial = history["epochs"], history["initial"]
    losses = [row["val_loss"] for row in rows]
    return Validations(
        step_E=np.array([row["step"] for row in rows], float),
        loss_E=np.array([np.inf if loss is None else loss for loss in losses], float),
        initial=None if initial is None else initial["loss"],
    )


def _impossible_arms(parent: RunSummary | None) -> dict[str, str]:
    """Arms of the study that cannot exist, and why."""
    tags = {} if parent is None else parent.tags
    return {name.removeprefix(_IMPOSSIBLE): reason for name, reason in tags.items() if name.startswith(_IMPOSSIBLE)}


def _rate_range(parent: RunSummary, scratch: Path) -> tuple[float, float] | None:
    """Where a threshold search looks, as its plan has it."""
    plan = fetch_artifacts([parent], [_PLAN], scratch).get((parent.run_id, _PLAN))
    settings: Mapping[str, Any] = {} if plan is None else json.loads(plan.read_text()).get("settings", {})
    return (settings["lr_low"], settings["lr_high"]) if "lr_low" in settings else None
