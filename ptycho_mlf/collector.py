"""Python's cyclic garbage collector, kept out of work that makes many objects in a short time."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Generator[None]:
    """Leave cyclic garbage where it is until the end of the context.

    Else the collector looks, each time enough objects are new, through all that a process holds, which is 0.4 s with
    torch and MLflow.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
