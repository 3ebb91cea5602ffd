"""`RunRecord`: one MLflow run from its beginning to a status that is never RUNNING in the end."""

from __future__ import annotations

import math
import os
import time
import traceback
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ptycho_mlf.config import InputError

from . import model_logging, signals
from .datasets import dataset_fields
from .environment import FAILURE, HEARTBEAT, environment_tags
from .heartbeat import Heartbeat, project_launcher
from .offline_spool import METRICS_PER_BATCH, Spool, is_away
from .parameters import MAX_TAG, as_text, same_value
from .plugin import RUN_NAME
from .store import check_artifact_folder, connect, experiment, is_missing

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PARENT = "PTYCHO_MLF_PARENT_RUN_ID"
"""Environment variable with the run that runs of a child process belong to."""
_PARENT_TAG = "mlflow.parentRunId"
_FLUSH_S = 5.0
"""Points wait at most this long for the next call while the store is there."""
_PATIENCE_S = 30.0
"""How long the end of a run waits for a store that is away."""
_KILLED_PATIENCE_S = 5.0
"""The same after a signal: whoever sent it follows with SIGKILL, often 30 s later."""


class RunRecord:
    """The run being recorded. Get one from `open`; its methods are for the thread that opened it."""

    def __init__(self, client: MlflowClient, run: Run, launched: bool) -> None:
        self.run_id = run.info.run_id
        self.experiment_id = run.info.experiment_id
        self._client = client
        self._spool = Spool(client, self.run_id)
        self._params: dict[str, Any] = dict(run.data.params)
        self._flushed = time.monotonic()
        self._ended = False
        self._heartbeat = Heartbeat(client, self.run_id, project_launcher() if launched else None)

    @classmethod
    @contextmanager
    def open(
        cls,
        *,
        name: str,
        tags: Mapping[str, object] | None = None,
        params: Mapping[str, object] | None = None,
        experiment_name: str | None = None,
        parent_run_id: str | None = None,
        description: str = "",
        patience_s: float = _PATIENCE_S,
        run_id: str | None = None,
    ) -> Generator[Self]:
        """Begin a run, or take over the one `mlflow run` began for this process; end it with the context.

        The run ends FINISHED; KILLED after SIGTERM or Ctrl-C, which raise `signals.Terminated` within the context;
        FAILED after any other exception, with the reason as tag `failure` and the traceback as `failure.txt`.

        Args:
            name: run name; a name given to `mlflow run` wins.
            tags: tags besides those of the environment; `fingerprint` makes the run visible to `find_runs`.
            params: parameters; those already there must be equal in value.
            experiment_name: experiment of a new run, see `store.experiment`.
            parent_run_id: run that this one belongs to, else that of the parent process (`environment`).
            description: markdown, shown on top of the run's page.
            patience_s: how long the end waits for a store that is away.
            run_id: continue this run, which has ended, instead.

        Raises:
            InputError: the store cannot be used, there is no such run, or a parameter contradicts what the run has.
        """
        record = None
        with signals.terminating():
            try:
                with signals.hold():  # Between the run in the store and the record that ends it is no way out.
                    record = cls._begin(name, tags or {}, experiment_name, parent_run_id, run_id)
                if description:
                    record.set_tags({"mlflow.note.content": description})
                record.log_params(params or {})
                yield record
                signals.raise_lost()
                record._end("FINISHED", patience_s)
            except BaseException as error:
                if record is not None:
                    record._end_after(error, patience_s)
                raise

    def environment(self) -> dict[str, str]:
        """Environment variables for child processes whose own runs shall be children of this run."""
        name = self._client.get_experiment(self.experiment_id).name
        where = {"MLFLOW_EXPERIMENT_ID": self.experiment_id, "MLFLOW_EXPERIMENT_NAME": name}
        return {"MLFLOW_TRACKING_URI": self._client.tracking_uri, **where, PARENT: self.run_id}

    def log_points(self, points: Iterable[tuple[str, int, float]]) -> None:
        """Add (key, step, value) to metric series; infinities are dropped, for MLflow stores 1.8e308 in their place."""
        signals.raise_lost()  # Called again and again while a run goes on.
        now = time.time_ns() // 1_000_000
        self._spool.add_points([(key, step, float(value), now) for key, step, value in points if not math.isinf(value)])
        if self._spool.waiting_points >= METRICS_PER_BATCH or time.monotonic() - self._flushed > _FLUSH_S:
            self.flush()

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Add one step to several metric series."""
        self.log_points([(key, step, value) for key, value in metrics.items()])

    def flush(self) -> None:
        """Send what waits; while the store is away it goes on waiting."""
        self._flushed = time.monotonic()
        self._spool.flush()

    def log_params(self, params: Mapping[str, object]) -> None:
        """Log parameters; one that is there and equal in value is left alone.

        Raises:
            InputError: one that is there and different.
        """
        for key, value in params.items():
            if key in self._params and not same_value(str(self._params[key]), value):
                raise InputError(f"{key}={as_text(value)}: the run already has {key}={self._params[key]}")
        new = {key: as_text(value) for key, value in params.items() if key not in self._params}
        if new:
            self._params |= new
            self._spool.post({"kind": "params", "pairs": new})

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags, cut at the length MLflow stores."""
        pairs = {key: as_text(value, MAX_TAG) for key, value in tags.items()}
        self._spool.post({"kind": "tags", "pairs": pairs})

    def log_folder(self, local_dir: Path, *, hand_over: bool = False) -> None:
        """Upload everything in a folder to the root of the run's artifacts; the folder may then be deleted.

        Args:
            local_dir: the folder.
            hand_over: its files may be moved, where the store keeps artifacts on this machine: on the same disk that
                takes no time, whatever their size.

        Raises:
            NotADirectoryError: no such folder.
        """
        if not local_dir.is_dir():
            raise NotADirectoryError(local_dir)
        where = {"path": str(local_dir.absolute()), "artifact_path": None}
        self._spool.post({"kind": "artifacts", **where, "hand_over": hand_over})

    def log_image(self, image: NDArray[Any] | Path | str, key: str, step: int) -> None:
        """Log an image, (H, W) or (H, W, 3 or 4), uint8 or float in 0..1, or an image file; the UI offers its steps."""
        import mlflow

        staged = self._spool.stage("image.png")
        mlflow.Image(str(image) if isinstance(image, Path) else image).save(str(staged))
        now = time.time_ns() // 1_000_000
        self._spool.post({"kind": "image", "path": str(staged), "key": key, "step": step, "timestamp": now})

    def log_dataset(
        self,
        name: str,
        digest: str,
        *,
        source: str | None,
        context: str,
        shape: Sequence[int],
        profile: Mapping[str, Any] | None = None,
    ) -> None:
        """Log a data set as an input of the run, by its hash: no data is read or copied.

        Args:
            name: shown in the UI.
            digest: hash of the content; MLflow keeps 36 characters.
            source: path or URL; None for simulated data.
            context: its role, such as `training` or `test`.
            shape: of the diffraction amplitudes.
            profile: numbers worth showing.
        """
        fields = dataset_fields(name, digest, source, shape, profile or {})
        self._spool.post({"kind": "dataset", "dataset": fields, "context": context})

    def log_pyfunc(
        self,
        code_path: Path,
        artifacts: Mapping[str, Path],
        *,
        channels: int,
        side: int,
        step: int = 0,
        name: str = "model",
        code_paths: Sequence[Path] = (),
        input_example: NDArray[np.float32] | None = None,
    ) -> str | None:
        """Log the model: float32 amplitude (n, C, N, N) in, float32 (n, C, N, N, 2) out.

        Args:
            code_path: Python file that calls `mlflow.models.set_model` (models from code).
            artifacts: files the code finds by these names in `context.artifacts`.
            channels: C.
            side: N, px.
            step: global step of the weights; metrics logged at this step are linked to the model.
            name: name of the model; `runs:/<run_id>/<name>` loads it.
            code_paths: packages or modules to carry along.
            input_example: amplitude (n, C, N, N) to store with the model, on which MLflow tries it.

        Returns:
            The model's id; None while the store is away: the model then goes with the record's artifacts.
        """
        from mlflow.exceptions import MlflowException

        arguments = model_logging.model_arguments(code_path, artifacts, channels, side, code_paths, input_example)
        params = {key: str(value) for key, value in self._params.items()}
        try:
            if self._spool.flush():
                with signals.hold():
                    return model_logging.log_model(self._client, self.run_id, name, step, params, arguments)
        except (MlflowException, OSError) as error:
            if not is_away(error):
                raise
        staged = self._spool.stage(name)
        model_logging.save_model(staged, arguments)
        self._spool.post({"kind": "artifacts", "path": str(staged), "artifact_path": name})
        return None

    @classmethod
    def _begin(
        cls,
        name: str,
        tags: Mapping[str, object],
        experiment_name: str | None,
        parent_run_id: str | None,
        run_id: str | None,
    ) -> Self:
        """The run in the store, named and tagged, and its record."""
        from mlflow import MlflowClient
        from mlflow.tracking.context.registry import resolve_tags

        client = MlflowClient(connect())
        own = {key: as_text(value, MAX_TAG) for key, value in tags.items()}
        own |= environment_tags() | {HEARTBEAT: f"{time.time():.0f}"}
        launched = None if run_id else os.environ.pop("MLFLOW_RUN_ID", None)
        given = run_id or launched
        parent = parent_run_id or (None if given else os.environ.get(PARENT))
        if parent:
            own[_PARENT_TAG] = parent
        if given is None:
            if parent_run_id and not experiment_name:  # A child belongs where its parent is, whoever begins it.
                experiment_id = _existing(client, parent_run_id, "parent run ").info.experiment_id
            else:
                experiment_id = experiment(experiment_name)
            check_artifact_folder(experiment_id)
            run = client.create_run(experiment_id, tags=resolve_tags(own), run_name=name)
            return cls(client, run, launched=False)
        run = _existing(client, given, "MLFLOW_RUN_ID=" if launched else "run ")
        if FAILURE in run.data.tags:
            client.delete_tag(given, FAILURE)  # Why it ended before it went on.
        if experiment_name and experiment(experiment_name) != run.info.experiment_id:
            raise InputError(f"experiment {experiment_name}: `mlflow run` began run {given} in another one")
        # Whose it is comes first: others end what runs in the name of a dead process.
        Spool(client, given).post({"kind": "tags", "pairs": own})
        client.update_run(given, status="RUNNING", name=os.environ.pop(RUN_NAME, None) or name)
        return cls(client, run, launched=launched is not None)

    def _end_after(self, error: BaseException, patience_s: float) -> None:
        """End the run as an exception has it."""
        if isinstance(error, signals.Terminated | KeyboardInterrupt | GeneratorExit):
            self._end("KILLED", min(patience_s, _KILLED_PATIENCE_S), str(error) or "interrupted")
        elif isinstance(error, SystemExit) and not error.code:
            self._end("FINISHED", patience_s)
        else:
            text = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            trace = "".join(traceback.format_exception(error))
            self._end("FAILED", patience_s, " ".join(text.split())[:1000], trace)

    def _end(self, status: str, patience_s: float, failure: str | None = None, trace: str | None = None) -> None:
        if self._ended:
            return
        with signals.hold():
            self._ended = True
            last: list[dict[str, Any]] = []
            if failure is not None:
                last.append({"kind": "tags", "pairs": {FAILURE: failure}})
            if trace is not None:
                staged = self._spool.stage("failure.txt")
                staged.write_text(trace)
                last.append({"kind": "artifacts", "path": str(staged), "artifact_path": None})
            last.append({"kind": "end", "status": status, "end_time": time.time_ns() // 1_000_000})
            self._heartbeat.stop()
            self._spool.close(last, patience_s)


@contextmanager
def launched_run(name: str, tags: Mapping[str, object]) -> Generator[RunRecord | None]:
    """The run that `mlflow run` began for this process, recorded as any other; None on a direct call.

    For commands that work on runs of their own and need none for themselves.
    """
    if "MLFLOW_RUN_ID" not in os.environ:
        yield None
        return
    with RunRecord.open(name=name, tags=tags) as record:
        yield record


def fail_given_run(reason: str) -> None:
    """End the run that `mlflow run` began for this process as FAILED when there is nothing to record, such as for
    wrong parameters; without such a run do nothing.

    Raises:
        InputError: the store cannot be used.
    """
    from mlflow import MlflowClient

    given = os.environ.pop("MLFLOW_RUN_ID", None)
    if given is not None:
        client = MlflowClient(connect())
        client.set_tag(given, FAILURE, as_text(reason, MAX_TAG), synchronous=True)
        client.set_terminated(given, "FAILED")


def _existing(client: MlflowClient, run_id: str, source: str) -> Run:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if is_missing(error):
            raise InputError(f"{source}{run_id}: there is no such run in the tracking store") from None
        raise
