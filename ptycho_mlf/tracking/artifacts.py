"""Artifacts of many runs at once: read in place on this machine, fetched side by side from a server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit
from urllib.request import url2pathname

from .queries import RunSummary

_CONNECTIONS = 16
"""Downloads at a time."""

Files = Mapping[tuple[str, str], Path]
"""(run id, artifact path) to a local file."""


def fetch_artifacts(runs: Sequence[RunSummary], paths: Sequence[str], scratch: Path) -> Files:
    """Local files with the named artifacts of all runs; what a run does not have is left out.

    Args:
        runs: of the connected store.
        paths: artifact paths of files.
        scratch: where downloads go; must outlive their use.
    """
    found: dict[tuple[str, str], Path] = {}
    remote: list[RunSummary] = []
    for run in runs:
        folder = local_folder(run.artifact_uri)
        if folder is None:
            remote.append(run)
            continue
        found |= {(run.run_id, path): folder / path for path in paths if (folder / path).is_file()}
    if remote:
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            for files in pool.map(lambda run: _download(run, paths, scratch), remote):
                found |= files
    return found


def local_folder(artifact_uri: str) -> Path | None:
    """The folder an artifact URI stands for; None if it is not on this machine."""
    parts = urlsplit(artifact_uri)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    return Path(artifact_uri) if artifact_uri and not parts.scheme else None


def move_files(source: Path, target: Path) -> None:
    """Move all files below a folder to the same places below another one; the folders stay."""
    for folder, _, names in os.walk(source):
        place = target / Path(folder).relative_to(source)
        place.mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.move(Path(folder, name), place / name)


def _download(run: RunSummary, paths: Sequence[str], scratch: Path) -> dict[tuple[str, str], Path]:
    """What is there is asked first: stores tell of missing files in too many ways."""
    import mlflow.artifacts

    found: dict[tuple[str, str], Path] = {}
    for parent in dict.fromkeys(str(PurePosixPath(path).parent) for path in paths):
        listed = mlflow.artifacts.list_artifacts(artifact_uri=f"{run.artifact_uri}/{parent}".removesuffix("/."))
        # Relative to the folder that was asked about.
        names = {PurePosixPath(item.path).name for item in listed if not item.is_dir}
        for path in paths:
            where = PurePosixPath(path)
            if str(where.parent) == parent and where.name in names:
                folder = scratch / run.run_id / parent
                folder.mkdir(parents=True, exist_ok=True)
                uri = f"{run.artifact_uri}/{path}"
                fetched = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder))
                found[run.run_id, path] = Path(fetched)
    return found
