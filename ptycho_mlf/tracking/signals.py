"""Signals that end a run in good order: SIGTERM and Ctrl-C raise `Terminated` once, and never inside an ending.

Python brings signals to the main thread alone. Threads it waits for are told through a `Relay`, and raise `Terminated`
at their next safe place: at the end of a `hold`, the beginning of a `release`, or in `raise_lost`.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_Handler = Callable[[int, FrameType | None], object] | int | None


class Terminated(SystemExit):
    """The process was told to end. Uncaught it ends Python quietly with the shell's code, 128 + signal number.

    Not a KeyboardInterrupt: Lightning turns that one into `sys.exit(1)` and ignores SIGINT from then on.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.signal = signal.Signals(signum)

    def __str__(self) -> str:
        return self.signal.name


class Relay:
    """Brings a signal from the main thread to others. Get one from `relaying`."""

    def __init__(self) -> None:
        self.signum: int | None = None

    @contextmanager
    def heard(self) -> Generator[None]:
        """Within this context a signal ends the current thread, not the main one, at its next safe place."""
        _state.hears = self
        try:
            yield
        finally:
            _state.hears = _state.received = None


class _State(threading.local):
    """Each thread's own. Handlers belong to the main one."""

    previous: dict[signal.Signals, _Handler]
    received: int | None
    holds: int
    pending: int | None
    sends: Relay | None
    hears: Relay | None

    def __init__(self) -> None:
        self.previous, self.received, self.holds, self.pending = {}, None, 0, None
        self.sends = self.hears = None


_state = _State()


@contextmanager
def terminating() -> Generator[None]:
    """Within this context SIGTERM or SIGINT raises `Terminated` in the main thread; while it ends, others only say so.

    Nested contexts share the outermost handlers. A signal that was ignored before (`nohup`, shell background jobs)
    stays ignored. In other threads than the main one nothing is installed, for Python does not allow it.
    """
    if _state.previous or threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.__init__()
    for signum in _SIGNALS:
        if signal.getsignal(signum) is not signal.SIG_IGN:
            _state.previous[signum] = signal.signal(signum, _on_signal)
    try:
        yield
    finally:
        for signum, handler in _state.previous.items():
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)
        _state.__init__()


@contextmanager
def hold() -> Generator[None]:
    """Signals wait until this context ends: for steps that must not be left half done."""
    _state.holds += 1
    try:
        yield
    finally:
        _state.holds -= 1
        if not _state.holds:
            _raise_pending()


@contextmanager
def release() -> Generator[None]:
    """Within `hold`: in this context signals come through, first those that waited."""
    holds, _state.holds = _state.holds, 0
    try:
        _raise_pending()
        yield
    finally:
        _state.holds = holds


@contextmanager
def relaying() -> Generator[Relay]:
    """Signals go to the threads that hear this relay; in the main thread they raise when this context ends.

    For a main thread that does nothing but wait for the others, and has to end after them. It must not sleep for good:
    a signal that comes between Python's last look and the sleep, or to another thread, does not wake it.
    """
    relay = _state.sends = Relay()
    try:
        yield relay
    finally:
        _state.sends = None
        if relay.signum is not None:
            signal.raise_signal(relay.signum)


def raise_lost() -> None:
    """Raise `Terminated` again if it was lost: Python drops exceptions of finalizers, wherever a signal arrives.

    In a thread that hears a relay: raise what the relay says. For places that are met again and again in a run.
    """
    if not _state.holds:
        _raise_relayed()
    if _state.received is not None and not _is_ending():
        raise Terminated(_state.received)


def _raise_pending() -> None:
    if _state.pending is not None:
        pending, _state.pending = _state.pending, None
        signal.raise_signal(pending)
    _raise_relayed()


def _raise_relayed() -> None:
    """Once: from then on the thread is ending."""
    relay = _state.hears
    if relay is not None and relay.signum is not None and _state.received is None:
        _state.received = relay.signum
        raise Terminated(relay.signum)


def _is_ending() -> bool:
    """Whether `Terminated` is being handled right now, in an `except`, a `finally` or at the end of a `with`."""
    error = sys.exception()
    while error is not None and not isinstance(error, Terminated):
        error = error.__context__
    return error is not None


def _on_signal(signum: int, frame: FrameType | None) -> None:
    relay = _state.sends
    if _is_ending() or (relay is not None and relay.signum is not None):
        print("ptycho_mlf: already ending, the run is being closed", file=sys.stderr)
    elif relay is not None:
        relay.signum = signum
    elif _state.holds:
        _state.pending = signum
    else:
        _state.received = signum
        raise Terminated(signum)
