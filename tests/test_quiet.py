"""Filters of warnings that several threads share."""

from __future__ import annotations

import threading
import warnings

import pytest

from ptycho_mlf.quiet import quiet

KNOWN, OTHER = "The dataloader does not have many workers which may be a bottleneck.", "something else"


def test_the_first_thread_sets_and_the_last_one_puts_back():
    before = list(warnings.filters)
    inside, leave = threading.Barrier(2), threading.Event()

    def other() -> None:
        with quiet():
            inside.wait(60)
            leave.wait(60)

    thread = threading.Thread(target=other)
    with quiet():
        thread.start()
        inside.wait(60)
        with quiet():
            warnings.warn(KNOWN, stacklevel=1)
    # This thread came first and has left; the other one is still quiet.
    warnings.warn(KNOWN, stacklevel=1)
    with pytest.raises(UserWarning, match=OTHER):
        warnings.warn(OTHER, stacklevel=1)
    leave.set()
    thread.join()
    with pytest.raises(UserWarning, match="many workers"):
        warnings.warn(KNOWN, stacklevel=1)
    assert warnings.filters == before
