"""What a run has to say, delivered in order: kept here while the tracking store is away, on disk if it stays away.

An entry is a JSON object with a `kind`: `points`, `tags`, `params`, `image`, `dataset`, `artifacts` or `end`. The same
code delivers it at once, later, and from disk (`upload`).
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptycho_mlf.config import InputError
from ptycho_mlf.launch import launch_folder

from .artifacts import local_folder, move_files
from .signals import hold
from .store import answers, connect

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

Entry = dict[str, Any]
Point = tuple[str, int, float, int]
"""Metric key, step, value, unix time in ms."""

METRICS_PER_BATCH = 1000
"""Most metrics MLflow takes in one call."""
_PAIRS_PER_BATCH = 100
"""Most params or tags MLflow takes in one call."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 300.0
_FOLDER = "ptycho_mlf-unsent"
_UNSENT = "unsent.json"


class Spool:
    """Entries and points of one run on their way to the store.

    While the store is away the files of an entry are copied, so that their owner may delete them, and attempts pause
    for 5 s, then longer, up to 5 min, and begin with a short question: a server that hangs costs a training one
    request timeout when it begins to hang, and 5 s per pause from then on.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.run_id = run_id
        self._client = client
        self._points: list[Point] = []
        self._entries: list[Entry] = []
        self._refused: list[Entry] = []
        self._staging: Path | None = None
        self._pause_s = _FIRST_PAUSE_S
        self._not_before = 0.0

    def add_points(self, points: list[Point]) -> None:
        """Keep points until the next flush."""
        self._points += points

    @property
    def waiting_points(self) -> int:
        """Points not delivered yet."""
        return len(self._points)

    def post(self, entry: Entry) -> bool:
        """Deliver an entry now, or keep it; whether everything is delivered."""
        self._entries.append(entry)
        return self.flush()

    def flush(self, *, at_once: bool = False) -> bool:
        """Deliver what waits unless attempts pause; whether everything is delivered.

        Args:
            at_once: do not heed the pause.

        Raises:
            MlflowException: the store is there and refuses; what it refused is kept for `close`.
        """
        if at_once or time.monotonic() >= self._not_before:
            was_away = self._pause_s > _FIRST_PAUSE_S
            away = "no answer" if was_away and not answers(self._client.tracking_uri) else self._deliver()
            if away is None:
                self._pause_s = _FIRST_PAUSE_S
                return True
            if not was_away:
                print(f"ptycho_mlf: tracking store away, its record waits here ({away})", file=sys.stderr)
            self._not_before = time.monotonic() + self._pause_s
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        self._keep_files()
        return False

    def close(self, last: list[Entry], patience_s: float) -> Path | None:
        """Deliver the rest; what the store does not take for so long, or refused, is saved in the working folder.

        Args:
            last: entries that are delivered after all others.
            patience_s: how long a store that is away is waited for.

        Returns:
            The folder with what was not delivered, None when all was.

        Raises:
            MlflowException: the store refused something; everything else is delivered or saved all the same.
        """
        from mlflow.exceptions import MlflowException

        self._entries += [*self._point_entries(), *last]
        self._points.clear()
        deadline, refusal = time.monotonic() + patience_s, None
        try:
            waiting = True
            while waiting:
                try:
                    waiting = not self.flush(at_once=True) and time.monotonic() < deadline
                except (MlflowException, OSError) as error:
                    refusal = refusal or error  # What was refused is out of the way of the rest.
                else:
                    threading.Event().wait(1.0 if waiting else 0.0)
        finally:
            left = self._refused + self._entries
            saved = self._save(left) if left else None
            if self._staging is not None:
                shutil.rmtree(self._staging)
        if refusal:
            raise refusal
        return saved

    def stage(self, name: str) -> Path:
        """A path that nobody uses yet, in a folder that lives as long as the spool."""
        if self._staging is None:
            self._staging = Path(tempfile.mkdtemp(prefix="ptycho_mlf-"))
        return Path(tempfile.mkdtemp(dir=self._staging), name)

    def _deliver(self) -> str | None:
        """Deliver in order. None when nothing is left, else why the store is away."""
        from mlflow.exceptions import MlflowException

        self._entries[:0] = self._point_entries()
        self._points.clear()
        while self._entries:
            with hold():  # A signal must not leave open whether the store has it.
                entry = self._entries.pop(0)
                self._refused.append(entry)
                try:
                    _send(self._client, self.run_id, entry)
                except (MlflowException, OSError) as error:
                    if not is_away(error):
                        raise
                    self._entries.insert(0, self._refused.pop())
                    return " ".join(str(error).split())[:200]
                self._refused.pop()
        return None

    def _point_entries(self) -> list[Entry]:
        starts = range(0, len(self._points), METRICS_PER_BATCH)
        return [{"kind": "points", "points": self._points[start : start + METRICS_PER_BATCH]} for start in starts]

    def _keep_files(self) -> None:
        for entry in self._entries:
            path = Path(entry.get("path", self._staging or "."))
            if "path" in entry and not (self._staging and path.is_relative_to(self._staging)):
                entry["path"] = str(_copied(path, self.stage(path.name)))

    def _save(self, entries: list[Entry]) -> Path:
        folder = (launch_folder() / _FOLDER / self.run_id).absolute()
        folder.mkdir(parents=True)
        for number, entry in enumerate(entries):
            if "path" in entry:
                name = Path(str(number), Path(entry["path"]).name)
                (folder / name).parent.mkdir()
                _copied(Path(entry["path"]), folder / name)
                entry["path"] = str(name)
        record = {"run_id": self.run_id, "tracking_uri": self._client.tracking_uri, "entries": entries}
        (folder / _UNSENT).write_text(json.dumps(record))
        print(
            f"ptycho_mlf: what the tracking store did not take is in {folder}\n"
            f"ptycho_mlf: upload it with: python -m ptycho_mlf.tracking.upload {shlex.quote(str(folder))}",
            file=sys.stderr,
        )
        return folder


def upload(folder: Path, tracking_uri: str | None = None) -> str:
    """Deliver what `Spool.close` saved and remove the folder.

    Args:
        folder: the folder that was printed.
        tracking_uri: store; None is the one the run was started on.

    Returns:
        The run's id.

    Raises:
        InputError: no such record, or the store cannot be reached, does not know the run or refuses.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        record = json.loads((folder / _UNSENT).read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: not a folder with an unsent record ({error})") from None
    client = MlflowClient(connect(tracking_uri or record["tracking_uri"]))
    for entry in record["entries"]:
        if "path" in entry:
            entry["path"] = str(folder / entry["path"])
        try:
            _send(client, record["run_id"], entry)
        except (MlflowException, OSError) as error:
            raise InputError(f"{folder}: not delivered, nothing is lost: {' '.join(str(error).split())}") from None
    shutil.rmtree(folder)
    return record["run_id"]


def is_away(error: Exception) -> bool:
    """Whether an error says that the store or the way to it is out of order, rather than that the request is wrong."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        # MLflow gives connection failures the code of an internal error; a token that expires is renewed later.
        return error.get_http_status_code() >= 500 or error.get_http_status_code() in (401, 403, 429)
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError)


def _send(client: MlflowClient, run_id: str, entry: Mapping[str, Any]) -> None:
    import mlflow
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

    match entry["kind"]:
        case "points":
            metrics = [Metric(key, value, when, step) for key, step, value, when in entry["points"]]
            client.log_batch(run_id, metrics=metrics, synchronous=True)
        case "params":
            for pairs in _batches(entry["pairs"]):
                client.log_batch(run_id, params=[Param(*pair) for pair in pairs], synchronous=True)
        case "tags":
            for pairs in _batches(entry["pairs"]):
                client.log_batch(run_id, tags=[RunTag(*pair) for pair in pairs], synchronous=True)
        case "image":
            image = mlflow.Image(entry["path"])
            where = {"key": entry["key"], "step": entry["step"], "timestamp": entry["timestamp"]}
            client.log_image(run_id, image, **where, synchronous=True)
        case "dataset":
            context = [InputTag("mlflow.data.context", entry["context"])]
            _log_dataset(client, run_id, DatasetInput(Dataset(**entry["dataset"]), context))
        case "artifacts":
            _log_artifacts(client, run_id, entry)
        case "end":
            client.set_terminated(run_id, entry["status"], entry["end_time"])
        case kind:
            raise ValueError(f"unknown kind of entry: {kind}")


def _log_artifacts(client: MlflowClient, run_id: str, entry: Mapping[str, Any]) -> None:
    handed_over = entry.get("hand_over", False)
    kept = local_folder(client.get_run(run_id).info.artifact_uri or "") if handed_over else None
    if kept is not None:
        move_files(Path(entry["path"]), kept)
        return
    log = client.log_artifacts if Path(entry["path"]).is_dir() else client.log_artifact
    log(run_id, entry["path"], entry["artifact_path"])


def _log_dataset(client: MlflowClient, run_id: str, dataset: DatasetInput) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.log_inputs(run_id, [dataset])
    except MlflowException as error:
        if is_away(error):
            raise
        # The store looks whether it knows a data set, then adds it. Runs that begin together all add theirs, and the
        # database takes the first one only, which a second look finds. Whatever else was refused is refused again.
        client.log_inputs(run_id, [dataset])


def _batches(pairs: Mapping[str, str]) -> list[list[tuple[str, str]]]:
    items = list(pairs.items())
    return [items[start : start + _PAIRS_PER_BATCH] for start in range(0, len(items), _PAIRS_PER_BATCH)]


def _copied(source: Path, target: Path) -> Path:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)
    return target
