"""Models and runs that are in the store already: fetch a logged model, add files to a run."""

from __future__ import annotations

from pathlib import Path

from ptycho_mlf.config import InputError

from .artifacts import local_folder
from .queries import RunSummary, find_run
from .store import is_missing


def download_model(uri: str, folder: Path) -> Path:
    """The files of a logged model (`models:/name@alias`, `models:/name/1`, `runs:/id/model`) under a folder.

    Raises:
        InputError: no such model.
    """
    import mlflow.artifacts
    from mlflow.exceptions import MlflowException

    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder)))
    except (MlflowException, OSError) as error:
        if isinstance(error, OSError) or is_missing(error):
            raise InputError(f"model={uri}: there is none ({' '.join(str(error).split())[:200]})") from None
        raise


def attach_files(run_id: str, folder: Path, artifact_path: str) -> RunSummary:
    """Add the files of a folder to the artifacts of a run.

    Returns:
        The run.

    Raises:
        InputError: no such run.
    """
    from mlflow import MlflowClient

    run = find_run(run_id)
    MlflowClient().log_artifacts(run.run_id, str(folder), artifact_path)
    return run


def artifact_place(run: RunSummary, artifact: str) -> str:
    """Where an artifact is, to be told: its file where that is on this machine."""
    folder = local_folder(run.artifact_uri)
    return f"run {run.run_id}: " + (f"artifact {artifact}" if folder is None else str(folder / artifact))
