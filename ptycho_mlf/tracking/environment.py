"""Where and with what a run was executed, as tags."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

FINGERPRINT = "fingerprint"
"""Tag that every run of ours carries; runs without it are not ours."""
HEARTBEAT = "heartbeat"
"""Tag with the unix time, s, at which the process of a run was last alive."""
FAILURE = "failure"
"""Tag with the one-line reason of a run that failed or was killed."""
ROLE = "study.role"
"""Tag of a run that belongs to a study and is no result of it, such as `range_test`."""
HOST, PID, PID_CREATED = "host", "pid", "pid_created"
"""Tags that identify the process of a run: a process id alone may be used again."""

_PACKAGES = ("ptycho_mlf", "torch", "lightning", "mlflow")
_CHECKOUT = Path(__file__).resolve().parents[2]


def environment_tags() -> dict[str, str]:
    """Process, versions and, in a checkout, the git commit with a flag for uncommitted changes of tracked files.

    Returns:
        `host`, `pid`, `pid_created` (unix time, s), `version.<package>`, `git_commit`, `git_dirty`.
    """
    versions = {"version.python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[f"version.{package}"] = version(package)
        except PackageNotFoundError:
            continue
    return {**process_tags(), **versions, **_git_tags(_CHECKOUT)}


def process_tags() -> dict[str, str]:
    """Tags that tell this process from every other one."""
    process = psutil.Process()
    return {HOST: socket.gethostname(), PID: str(process.pid), PID_CREATED: f"{process.create_time():.2f}"}


def _git_tags(checkout: Path) -> dict[str, str]:
    """Empty unless the folder itself is the top of a git checkout: an installed copy lies inside somebody else's."""
    top = _git(checkout, "rev-parse", "--show-toplevel")
    if not top or Path(top) != checkout:
        return {}
    commit = _git(checkout, "rev-parse", "HEAD")
    dirty = _git(checkout, "status", "--porcelain", "--untracked-files=no")
    if not commit or dirty is None:
        return {}
    return {"git_commit": commit, "git_dirty": str(bool(dirty)).lower()}


def _git(folder: Path, *arguments: str) -> str | None:
    """Output of a git command, or None where there is no git or no checkout."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, env=environment
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
