"""The Optuna storage of a study: where it is, opened, made under a lock, with heartbeat and retry."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from ptycho_mlf.config import InputError
from ptycho_mlf.config.study import StudyConfig
from ptycho_mlf.launch import launch_folder
from ptycho_mlf.quiet import quiet
from ptycho_mlf.tracking.store import shown_url

from .queue_storage import QueueStorage
from .recovery import Recovery

DEFAULT_STORAGE = "sqlite:///optuna.db"
MISSED_BEATS = 3
"""A worker that missed this many is dead."""
_LOCK_S = 900
_BUSY_S = 60
"""How long a writer of an sqlite file waits for the others."""
_REACHABLE_S = 10
"""How long a database server may take to answer."""


def open_storage(settings: StudyConfig, *, make: bool = True) -> QueueStorage:
    """The storage of a study.

    Args:
        settings: which one.
        make: whether an sqlite file that is not there is made.

    Raises:
        InputError: it cannot be reached, written, or is no Optuna storage of this version; or there is no such file.
    """
    url = storage_url(settings.storage)
    if not make and url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        raise InputError(f"storage={url}: there is no such file; name the storage that the study was begun with")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with _making(url), quiet():
            return QueueStorage(
                url,
                _lock_path(url),
                engine_kwargs={"connect_args": _connect_arguments(url), "pool_pre_ping": True},
                heartbeat_interval=settings.heartbeat,
                grace_period=MISSED_BEATS * settings.heartbeat,
                heartbeat_stale_trial_callback=Recovery(settings.retries),
            )
    except (SQLAlchemyError, ImportError, RuntimeError) as error:
        reason = " ".join(str(error.__cause__ or error).split())[:300]
        raise InputError(f"storage={shown_url(url)}: cannot be used ({reason})") from None


def storage_url(storage: str) -> str:
    """The URL in force; the path of an sqlite file is made absolute, so that workers started elsewhere find it."""
    url = storage or DEFAULT_STORAGE
    if "://" not in url:
        raise InputError(f"storage={url}: must be a database URL, such as {DEFAULT_STORAGE} or postgresql://host/name")
    if url.startswith("postgresql://"):
        # The driver that MLflow's own PostgreSQL URLs use with SQLAlchemy 2.1; psycopg2 is no dependency.
        return url.replace("postgresql://", "postgresql+psycopg://", 1)
    if url.startswith("sqlite:///"):
        return f"sqlite:///{(launch_folder() / url.removeprefix('sqlite:///')).absolute()}"
    return url


def _connect_arguments(url: str) -> dict[str, Any]:
    if url.startswith("sqlite"):
        return {"timeout": _BUSY_S}
    return {"connect_timeout": _REACHABLE_S} if url.startswith("postgresql") else {}


def _lock_path(url: str) -> str | None:
    """Of an sqlite file."""
    return f"{url.removeprefix('sqlite:///')}.lock" if url.startswith("sqlite:///") else None


@contextmanager
def _making(url: str) -> Generator[None]:
    """One process at a time makes the tables: several at once fail on each other's, in every database."""
    lock = _lock_path(url)
    if lock is None:
        with _making_on_server(url):
            yield
        return
    path = Path(lock.removesuffix(".lock"))
    if not path.parent.is_dir():
        raise InputError(f"storage={url}: the folder {path.parent} does not exist; create it or name another")
    try:
        with FileLock(lock, timeout=_LOCK_S):
            yield
    except Timeout:
        raise InputError(f"storage={url}: locked for {_LOCK_S} s; is {lock} left behind?") from None
    except OSError as error:
        raise InputError(f"storage={url}: cannot be written ({error.strerror}); start from a writable folder") from None


@contextmanager
def _making_on_server(url: str) -> Generator[None]:
    if not url.startswith("postgresql"):
        yield
        return
    engine = create_engine(url, poolclass=NullPool, connect_args=_connect_arguments(url))
    with engine.connect() as connection:  # The lock ends with it.
        connection.execute(text("SELECT pg_advisory_lock(hashtext('ptycho_mlf'))"))
        yield
