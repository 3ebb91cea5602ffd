"""Warnings of the libraries below that say nothing about a run."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager

_KNOWN: tuple[tuple[str, type[Warning]], ...] = (
    # Lightning: the patterns are in memory already, worker processes would only copy them.
    (".*does not have many workers", Warning),
    # Lightning 2.6 uses a name that torch 2.13 retires.
    (".*LeafSpec", FutureWarning),
    # Optuna's heartbeat, retry and TPE groups, which tests hold; and our own workers give the signs of life.
    (".*is experimental \\(supported from", Warning),
    ("Argument .* is an experimental feature", Warning),
    ("Heartbeat of storage is supposed to be used", Warning),
    # MLflow meets type hints of its own code, and advises an input example, which at full size is megabytes of text.
    (".*Any type hint is inferred as AnyType", Warning),
    (".*An input example was not provided", Warning),
)


class _Shared:
    """Filters belong to the process, and so does their state."""

    def __init__(self) -> None:
        self.lock, self.users, self.filters = threading.Lock(), 0, warnings.catch_warnings()


_shared = _Shared()


@contextmanager
def quiet() -> Generator[None]:
    """Leave out what is known to say nothing, in all threads, until the last of these contexts has ended.

    `warnings.catch_warnings` puts back what it found, which among several threads is what another one had set, or had
    just removed: here the first to come sets the filters, and the last to go puts back what was before all of them.
    """
    with _shared.lock:
        if not _shared.users:
            _shared.filters = warnings.catch_warnings()
            _shared.filters.__enter__()
            for message, category in _KNOWN:
                warnings.filterwarnings("ignore", message, category)
        _shared.users += 1
    try:
        yield
    finally:
        with _shared.lock:
            _shared.users -= 1
            if not _shared.users:
                _shared.filters.__exit__(None, None, None)
