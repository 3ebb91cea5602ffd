"""Connection to the tracking store: which one, is it there, is its database made; and the experiment in it."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ptycho_mlf.config import InputError

DEFAULT_EXPERIMENT = "ptycho_mlf"
DEFAULT_URI = "sqlite:///mlflow.db"
"""Always named: left to itself MLflow would take an old `mlruns` folder for the store."""
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Logging is tried again later by the offline spool: a training must not wait minutes for a server.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""Set unless the user has set them; child processes inherit them."""
HIDDEN = "***"
"""What stands for a password."""
_REACHABLE_S = 5
"""How long a server that is asked whether it is back may take to answer."""
_FIRST_ANSWER_S = 30
"""The same of the first question: a busy server that has just been started opens its database at that moment."""
_LOCK_S = 900

_connected: set[str] = set()


def connect(tracking_uri: str | None = None) -> str:
    """Choose the tracking store, make sure that it can be used, and set it in MLflow (and for child processes).

    Args:
        tracking_uri: store; else MLFLOW_TRACKING_URI, else `sqlite:///mlflow.db` in the working folder.

    Returns:
        The URI in force; the path of an sqlite file is made absolute.

    Raises:
        InputError: the store cannot be reached or written, or is no MLflow store of this version.
    """
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    if uri.startswith("sqlite"):
        uri = absolute_uri(uri)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow

    # Its notes on making tables are no news to users.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    if uri not in _connected:
        if uri.startswith("sqlite"):
            _prepare_sqlite(uri, sqlite_path(uri))
        elif uri.startswith(("http://", "https://")):
            _check_server(uri)
        elif uri.startswith(("postgresql", "mysql", "mssql")):
            _prepare_database(uri)
        elif "://" not in uri or uri.startswith("file:"):
            raise InputError(f"tracking store {uri}: MLflow keeps no runs in folders any more; name {DEFAULT_URI}")
        else:
            _open(uri)
        _connected.add(uri)
    mlflow.set_tracking_uri(uri)
    return uri


def experiment(name: str | None = None) -> str:
    """Id of an experiment of the connected store, created when it is new.

    Args:
        name: else MLFLOW_EXPERIMENT_NAME, else the experiment with id MLFLOW_EXPERIMENT_ID, else `ptycho_mlf`.

    Raises:
        InputError: an id that does not exist, or a deleted experiment.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient()
    name = name or os.environ.get("MLFLOW_EXPERIMENT_NAME")
    identifier = os.environ.get("MLFLOW_EXPERIMENT_ID")
    if not name and identifier:
        try:
            found = client.get_experiment(identifier)
        except MlflowException as error:
            raise InputError(f"MLFLOW_EXPERIMENT_ID={identifier}: {_one_line(error)}") from None
    else:
        name = name or DEFAULT_EXPERIMENT
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                return client.create_experiment(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = client.get_experiment_by_name(name)  # Another process was faster.
    if found is None or found.lifecycle_stage != "active":
        shown = name or identifier
        command = f"mlflow experiments restore -x {found.experiment_id}" if found else "mlflow experiments search"
        raise InputError(f"experiment {shown}: it is deleted; bring it back with `{command}` or name another one")
    return found.experiment_id


def check_artifact_folder(experiment_id: str) -> None:
    """Make sure that files of runs can be written, where an sqlite store keeps them in a folder of this machine.

    Raises:
        InputError: they cannot.
    """
    import mlflow
    from mlflow import MlflowClient
    from mlflow.utils.file_utils import local_file_uri_to_path
    from mlflow.utils.uri import is_local_uri

    location = MlflowClient().get_experiment(experiment_id).artifact_location
    if not mlflow.get_tracking_uri().startswith("sqlite") or not is_local_uri(location):
        return
    folder = Path(local_file_uri_to_path(location))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"artifact folder {folder}: cannot be written ({error.strerror}); make it writable, "
            "or name another experiment or store"
        ) from None


def absolute_uri(uri: str) -> str:
    """An `sqlite:///` URI that means the same file in every folder.

    Raises:
        InputError: a database without a file.
    """
    driver, query = uri.partition(":")[0], uri.partition("?")[1:]
    return f"{driver}:///{sqlite_path(uri)}{''.join(query)}"


def sqlite_path(uri: str) -> Path:
    """Absolute path of the database file of an `sqlite:///` URI.

    Raises:
        InputError: a database without a file, which no other process could see.
    """
    path = re.sub(r"^sqlite(\+\w+)?://", "", uri).partition("?")[0]
    if not path.startswith("/") or path[1:] in ("", ":memory:"):
        raise InputError(f"tracking store {uri}: an sqlite store is a file, such as {DEFAULT_URI}")
    return Path(path[1:]).absolute()


def sqlite_lock(path: Path) -> FileLock:
    """The lock under which the database file is made: MLflow crashes when several processes do it at once."""
    return FileLock(f"{path}.lock", timeout=_LOCK_S)


def is_missing(error: Exception) -> bool:
    """Whether MLflow says that something it was asked for does not exist, or that its id is malformed."""
    from mlflow.exceptions import MlflowException

    codes = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
    return isinstance(error, MlflowException) and error.error_code in codes


def _prepare_sqlite(uri: str, path: Path) -> None:
    if not path.parent.is_dir():
        raise InputError(f"tracking store {uri}: the folder {path.parent} does not exist; create it or name another")
    try:
        Path(f"{path}.lock").touch()  # The lock itself would wait for a folder to become writable.
        with sqlite_lock(path):
            with closing(sqlite3.connect(path)) as database:
                database.execute("PRAGMA schema_version")
            _open(uri)
    except Timeout:
        raise InputError(f"tracking store {uri}: locked for {_LOCK_S} s; is {path}.lock left behind?") from None
    except OSError as error:
        raise InputError(
            f"tracking store {uri}: cannot be written ({error.strerror}); start from a writable folder, "
            "or set MLFLOW_TRACKING_URI"
        ) from None
    except sqlite3.Error as error:
        raise InputError(f"tracking store {uri}: {error}; move the file away, or set MLFLOW_TRACKING_URI") from None


def _prepare_database(uri: str) -> None:
    """Connect once ourselves, since MLflow tries for minutes, then let MLflow make its tables under a lock."""
    from sqlalchemy import NullPool, create_engine, text
    from sqlalchemy.exc import SQLAlchemyError

    try:
        engine = create_engine(uri, poolclass=NullPool)
        connection = engine.connect()
    except (SQLAlchemyError, ModuleNotFoundError) as error:
        raise InputError(f"tracking store {shown_url(uri)}: {_one_line(error)}") from None
    with connection:
        if engine.name == "postgresql":
            # Of the database, since other machines may be the first in it as well. It ends with the connection.
            connection.execute(text("SELECT pg_advisory_lock(hashtext('ptycho_mlf tracking'))"))
            _open(uri)
            return
    name = hashlib.sha256(uri.encode()).hexdigest()[:16]
    with FileLock(Path(tempfile.gettempdir(), f"ptycho_mlf-{name}.lock"), timeout=_LOCK_S):
        _open(uri)


def answers(uri: str) -> bool:
    """Whether a server answers within seconds; stores that are not servers always do."""
    from mlflow.exceptions import MlflowException

    if not uri.startswith(("http://", "https://")):
        return True
    try:
        return _ask(uri, _REACHABLE_S).status_code < 500
    except MlflowException:
        return False


def _ask(uri: str, timeout_s: float) -> Any:
    """One small request without retries; the response."""
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    return http_request(
        get_default_host_creds(uri),
        "/api/2.0/mlflow/experiments/search",
        "GET",
        params={"max_results": 1},
        max_retries=0,
        timeout=timeout_s,
        raise_on_status=False,
    )


def _check_server(uri: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        answer = _ask(uri, _FIRST_ANSWER_S)
    except MlflowException:
        raise InputError(
            f"tracking server {shown_url(uri)}: no answer; start it (`mlflow server`) or set MLFLOW_TRACKING_URI"
        ) from None
    if answer.status_code in (401, 403):
        raise InputError(
            f"tracking server {shown_url(uri)}: refused ({answer.status_code}); set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or have the server allow this host"
        )
    if answer.status_code != 200:
        raise InputError(f"tracking server {shown_url(uri)}: it is no MLflow server (answer {answer.status_code})")


def _open(uri: str) -> None:
    """Let MLflow open the store, which makes the tables of a new database."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        MlflowClient(uri).search_experiments(max_results=1)
    except MlflowException as error:
        raise InputError(f"tracking store {shown_url(uri)}: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:300]}…"


def shown_url(uri: str) -> str:
    """A URL without its password."""
    return re.sub(r"://([^:/@]*):[^@/]*@", rf"://\1:{HIDDEN}@", uri)
