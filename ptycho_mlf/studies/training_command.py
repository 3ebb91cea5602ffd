"""The command of a single training."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from ptycho_mlf.config.describe import default_text


def training_command(settings: Mapping[str, Any]) -> str:
    """What trains once with these parameters."""
    words = [f"-P {name}={shlex.quote(default_text(value))}" for name, value in settings.items()]
    return " ".join(["mlflow run . -e stage_a", *words])
