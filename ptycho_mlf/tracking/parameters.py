"""Run parameters as text: MLflow stores text and refuses a second, different one."""

from __future__ import annotations

import shlex

MAX_PARAM = 6000
"""Longest parameter value MLflow stores, characters."""
MAX_TAG = 8000
"""Longest tag value MLflow stores, characters."""
_TRUE = {"true", "1", "yes", "on", "t", "y"}
_FALSE = {"false", "0", "no", "off", "f", "n"}


def as_text(value: object, limit: int = MAX_PARAM) -> str:
    """A value as MLflow gets it: booleans in lower case as on the command line, cut at the limit."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def same_value(stored: str, value: object) -> bool:
    """Whether a stored text means this value: `3e-4` is 0.0003, `True` is true.

    `mlflow run` stores what was typed, and shell-quotes it where it holds spaces or nothing at all.
    """
    return any(_means(text, value) for text in {stored, _unquoted(stored)})


def _means(text: str, value: object) -> bool:
    if text == as_text(value):
        return True
    if isinstance(value, bool):
        return text.lower() in (_TRUE if value else _FALSE)
    if isinstance(value, int | float):
        try:
            return float(text) == float(value)
        except ValueError:
            return False
    return False


def _unquoted(stored: str) -> str:
    try:
        words = shlex.split(stored)
    except ValueError:
        return stored
    return words[0] if len(words) == 1 else stored
