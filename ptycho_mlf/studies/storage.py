"""The Optuna storage of studies: opened once, made under a lock, with heartbeat and retry."""

from __future__ import annotations

import re
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from ptycho_mlf.config import InputError
from ptycho_mlf.config.study import StudyConfig
from ptycho_mlf.tracking.reaper import kill_run

DEFAULT_STORAGE = "sqlite:///optuna.db"
MISSED_BEATS = 3
"""A worker that missed this many is dead."""
RUN_IDS = "run_ids"
"""Trial attribute: the MLflow runs of a trial."""
_LOCK_S = 120
_BUSY_S = 60
"""How long a writer of an sqlite file waits for the others."""


def open_storage(settings: StudyConfig) -> RDBStorage:
    """The storage of a study.

    Raises:
        InputError: it cannot be reached, written, or is no Optuna storage of this version.
    """
    url = storage_url(settings.storage)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with _making(url):
        try:
            with warnings.catch_warnings():
                # Heartbeat and retry are what they call experimental; tests hold them.
                warnings.simplefilter("ignore", ExperimentalWarning)
                return RDBStorage(
                    url,
                    engine_kwargs={"connect_args": {"timeout": _BUSY_S}} if url.startswith("sqlite") else None,
                    heartbeat_interval=settings.heartbeat,
                    grace_period=MISSED_BEATS * settings.heartbeat,
                    heartbeat_stale_trial_callback=_Recover(settings.retries),
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
        return f"sqlite:///{Path(url.removeprefix('sqlite:///')).absolute()}"
    return url


def shown_url(url: str) -> str:
    """Without the password."""
    return re.sub(r"://([^:/@]*):[^@/]*@", r"://\1:***@", url)


class _Recover:
    """What happens with a trial whose worker is dead: its MLflow runs end as KILLED, and it is run again."""

    def __init__(self, retries: int) -> None:
        self._retry = RetryHeartbeatStaleTrialCallback(max_retry=retries)

    def __call__(self, study: optuna.Study, trial: FrozenTrial) -> None:
        for run_id in trial.user_attrs.get(RUN_IDS, []):
            kill_run(run_id, f"the worker of trial {trial.number} is dead; the trial is run again")
        self._retry(study, trial)


@contextmanager
def _making(url: str) -> Generator[None]:
    """One process at a time makes the tables of an sqlite file."""
    if not url.startswith("sqlite:///"):
        yield
        return
    path = Path(url.removeprefix("sqlite:///"))
    if not path.parent.is_dir():
        raise InputError(f"storage={url}: the folder {path.parent} does not exist; create it or name another")
    try:
        with FileLock(f"{path}.lock", timeout=_LOCK_S):
            yield
    except Timeout:
        raise InputError(f"storage={url}: locked for {_LOCK_S} s; is {path}.lock left behind?") from None
    except OSError as error:
        raise InputError(f"storage={url}: cannot be written ({error.strerror}); start from a writable folder") from None
