"""Strict JSON files. Light: who goes on with a study that is finished needs no torch for it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_json(path: Path, value: Any) -> None:
    """Strict JSON: NaN and infinities are an error."""
    path.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """The same JSON value with null in place of numbers that are not finite."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
