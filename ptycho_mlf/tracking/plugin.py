"""MLflow plugins that make the plain `mlflow run <this project>` work in the Python environment it is started from.

MLflow loads this module at every `import mlflow`, so it imports nothing heavy, and it acts only in the process of an
`mlflow run` of this very project. PTYCHO_MLF_PLUGIN=off turns it off.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import NoReturn

from ptycho_mlf.launch import LAUNCHED_FROM
from ptycho_mlf.tracking import project_run

RUN_NAME = "PTYCHO_MLF_RUN_NAME"
"""Environment variable that carries the user's `--run-name` to the entry point, whose own name for the run yields."""


class LocalEnvironment:
    """Run context provider without a context: MLflow creates it while importing, before it reads the command line.

    It adds `--env-manager local`, since the MLproject names conda and this environment already has the package, and
    it refuses wrong `-P` values before a run exists.
    """

    def __init__(self) -> None:
        run = project_run.current()
        if run is None:
            return
        from ptycho_mlf.config import InputError

        try:
            project_run.check_parameters(run)
        except InputError as error:
            _refuse(error)
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ[LAUNCHED_FROM] = os.getcwd()
        if run.options["run_name"]:
            os.environ[RUN_NAME] = run.options["run_name"]
        if run.names_experiment and not run.env_file:
            _prepare_store()
        if run.runs_here:
            # The entry point calls `python`: it has to be this one, also when the environment is not activated.
            os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
        if not run.chooses_environment:
            sys.argv[run.position : run.position] = ["--env-manager", "local"]
            print("ptycho_mlf: runs in this Python environment (adds --env-manager local)", file=sys.stderr)

    def in_context(self) -> bool:
        """It adds no tags: MLflow does not ask for them under `mlflow run`."""
        return False

    def tags(self) -> dict[str, str]:
        """No tags."""
        return {}


class DefaultExperiment:
    """Default experiment provider: `mlflow run` of this project without a named experiment goes to `ptycho_mlf`."""

    def in_context(self) -> bool:
        """Only in the process of such an `mlflow run`."""
        run = project_run.current()
        return run is not None and not run.names_experiment

    def get_experiment_id(self) -> str:
        """Id of the experiment, created on first use, in a store that is prepared under a lock."""
        from ptycho_mlf.config import InputError
        from ptycho_mlf.tracking.store import connect, experiment

        try:
            connect()
            return experiment()
        except InputError as error:
            _refuse(error)


def _prepare_store() -> None:
    """Make the database before MLflow does: with a named experiment it asks no plugin, and it takes no lock.

    A new one is made by a child process, since MLflow is still being imported in this one.
    """
    from ptycho_mlf.config import InputError
    from ptycho_mlf.tracking.store import DEFAULT_URI, absolute_uri, sqlite_lock, sqlite_path

    uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    if not uri.startswith("sqlite"):
        return
    try:
        # The entry point starts in another folder.
        os.environ["MLFLOW_TRACKING_URI"] = absolute_uri(uri)
    except InputError as error:
        _refuse(error)
    path = sqlite_path(uri)
    if path.exists():
        with sqlite_lock(path):
            return  # Whoever was making it has finished.
    code = "from ptycho_mlf.tracking.store import connect; connect()"
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    if done.returncode:
        _refuse(done.stderr.strip().splitlines()[-1].partition("InputError: ")[2])


def _refuse(error: object) -> NoReturn:
    print(f"ptycho_mlf: {error}", file=sys.stderr)
    raise SystemExit(2)
