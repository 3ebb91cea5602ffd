"""The folder a command was started from: under `mlflow run` that is not the process's own."""

from __future__ import annotations

import os
from pathlib import Path

LAUNCHED_FROM = "PTYCHO_MLF_LAUNCHED_FROM"
"""Environment variable with the folder `mlflow run` was started in; MLflow starts the entry point in the project's."""


def launch_folder() -> Path:
    """Where a user expects what a command leaves in the working folder; empty where that is the process's own."""
    return Path(os.environ.get(LAUNCHED_FROM, ""))


def user_path(text: str) -> Path:
    """A path as the user means it: from where the command was started, `~` being the home folder."""
    return launch_folder() / os.path.expanduser(text)
