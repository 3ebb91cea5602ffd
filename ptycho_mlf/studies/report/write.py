"""Write the report of a study, or of any runs: the one function others call, and what the entry point does."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ptycho_mlf.config import InputError
from ptycho_mlf.launch import user_path
from ptycho_mlf.tracking.artifacts import local_folder
from ptycho_mlf.tracking.existing import attach_files
from ptycho_mlf.tracking.queries import find_run
from ptycho_mlf.tracking.store import connect

from .collect import collect_runs, collect_study, find_parent
from .data import StudyData
from .estimates import estimate
from .findings import findings
from .markdown import summary_markdown
from .page import report_html

PAGE, SUMMARY = "report.html", "summary.md"
_FOLDER = "report"
"""Where the report of runs without a parent goes."""


@dataclass(frozen=True)
class ReportRequest:
    """What is asked for: exactly one of `study`, `runs` and `parent`; empty text means not given."""

    study: str = ""
    """Name of a study."""
    runs: str = ""
    """Run ids, separated by commas."""
    parent: str = ""
    """Id of a parent run."""
    output: str = ""
    """Folder; else the artifacts of the parent run."""


def write_report(study: StudyData | str, folder: Path) -> Path:
    """Write `report.html` and `summary.md` into a folder.

    Args:
        study: collected data, or the id of a study's parent run in the connected store.
        folder: made if it is not there.

    Returns:
        Path of the page.

    Raises:
        InputError: no such run, none below it, or a folder that cannot be written.
    """
    data = collect_study(study) if isinstance(study, str) else study
    found = estimate(data)
    page, summary = report_html(data, found), summary_markdown(data, found)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / PAGE).write_text(page, encoding="utf-8")
        (folder / SUMMARY).write_text(summary, encoding="utf-8")
    except OSError as error:
        raise InputError(f"output={folder}: cannot be written ({error.strerror})") from None
    return folder / PAGE


def report(request: ReportRequest) -> list[str]:
    """Write the report where it was asked for, else to the parent run's artifacts.

    Returns:
        Lines that tell what was found and where the page is.

    Raises:
        InputError: nothing or too much named, or something that does not exist.
    """
    if sum(bool(way) for way in (request.study, request.runs, request.parent)) != 1:
        raise InputError("study, runs, parent: name exactly one of them")
    connect()
    if request.runs:
        data = collect_runs([run_id.strip() for run_id in request.runs.split(",") if run_id.strip()])
    else:
        data = collect_study(request.parent or find_parent(request.study).run_id)
    # Under `mlflow run` there is a run for this very report.
    run_id = data.parent or os.environ.get("MLFLOW_RUN_ID", "")
    sentences = findings(data, estimate(data))
    if request.output or not run_id:
        return [*sentences, str(write_report(data, user_path(request.output or _FOLDER)).absolute())]
    with tempfile.TemporaryDirectory(prefix="ptycho_mlf-") as scratch:
        write_report(data, Path(scratch))
        attach_files(run_id, Path(scratch), "")
    place = local_folder(find_run(run_id).artifact_uri)
    return [*sentences, f"run {run_id}: artifact {PAGE}" + ("" if place is None else f", {place / PAGE}")]
