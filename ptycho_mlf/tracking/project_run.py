"""Recognises the command line `mlflow run <this project>` and checks its `-P` values.

Kept light: every `import mlflow` of every process comes by here, so yaml, click and pydantic load only in a match.
"""

from __future__ import annotations

import difflib
import functools
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SWITCH = "PTYCHO_MLF_PLUGIN"
"""Environment variable: `off` makes the plugin do nothing."""
_PROJECT = "ptycho_mlf"
_CONFIG_ENTRIES = ("main", "stage_a")
"""Entries whose parameters are the run configuration itself."""


@dataclass(frozen=True)
class ProjectRun:
    """What `mlflow run` was asked to do with this project."""

    position: int
    """Index in argv right behind the word `run`."""
    options: Mapping[str, Any]
    """MLflow's options by their names in Python; None where not given."""
    declared: frozenset[str] | None
    """Parameters that the entry declares in MLproject; None when there is no such entry."""
    env_file: bool
    """Whether environment variables will still be read from a file."""

    @property
    def chooses_environment(self) -> bool:
        """The user said where to run."""
        return self.options["env_manager"] is not None or self.options["backend"] is not None

    @property
    def runs_here(self) -> bool:
        """The entry point will run in the environment of this process."""
        return not self.chooses_environment or self.options["env_manager"] == "local"

    @property
    def names_experiment(self) -> bool:
        """The user said which experiment the run belongs to."""
        named = self.options["experiment_name"] or self.options["experiment_id"]
        return bool(named or os.environ.get("MLFLOW_EXPERIMENT_NAME") or os.environ.get("MLFLOW_EXPERIMENT_ID"))


@functools.cache
def current() -> ProjectRun | None:
    """The project run that this process was started for, or None when it is any other process."""
    if os.environ.get(SWITCH, "").lower() == "off":
        return None
    return parse(sys.argv, sys.orig_argv)


def parse(argv: Sequence[str], orig_argv: Sequence[str]) -> ProjectRun | None:
    """Read a command line; None unless it is MLflow's command line tool running a local folder that is this project.

    Args:
        argv: `sys.argv`; its first item is `-m` while `python -m mlflow` is still importing MLflow.
        orig_argv: `sys.orig_argv`.
    """
    module = argv[0] == "-m" and list(orig_argv[-len(argv) - 1 :][:2]) == ["-m", "mlflow"]
    if not module and re.sub(r"(-script\.pyw?|\.exe)$", "", Path(argv[0]).name) != "mlflow":
        return None
    position, env_file = 1, False
    while position < len(argv) and argv[position].startswith("--env-file"):
        position += 1 if "=" in argv[position] else 2
        env_file = True
    if argv[position : position + 1] != ["run"] or "--help" in argv:
        return None
    options = _options(argv[position + 1 :])
    project = _mlproject(options["uri"])
    if project is None:
        return None
    entry = project.get("entry_points", {}).get(options["entry_point"])
    declared = None if entry is None else frozenset(entry.get("parameters") or {})
    return ProjectRun(position + 1, options, declared, env_file)


def check_parameters(run: ProjectRun) -> None:
    """Check the `-P` values before MLflow creates a run.

    The entries whose parameters are the configuration are checked as a whole. Other entries judge their own
    parameters; what they do not declare must at least be the name of a configuration parameter.

    Raises:
        InputError: a wrong name or value.
    """
    pairs = [text.split("=", 1) for text in run.options["param_list"]]
    names = [pair[0] for pair in pairs]
    malformed = any(len(pair) != 2 for pair in pairs) or len(set(names)) != len(names)
    if run.declared is None or run.options["version"] or malformed:
        return  # MLflow refuses a missing entry and malformed pairs itself; another version has other parameters.
    from ptycho_mlf.config import InputError, RunConfig, parameters

    config = {name for _, name, _ in parameters()}
    overrides: dict[str, str] = {}
    for name, value in pairs:
        plain = name.replace("-", "_")
        if name != plain and plain in run.declared:
            raise InputError(f"{name}={value}: write -P {plain}={value}, or the default of {plain} counts as well")
        if plain in config:
            overrides[plain] = value
        elif name not in run.declared:
            close = difflib.get_close_matches(plain, config | run.declared, n=1)
            raise InputError(f"{name}={value}: no such parameter" + (f"; did you mean {close[0]}?" if close else ""))
    if run.options["entry_point"] in _CONFIG_ENTRIES:
        RunConfig.from_flat(overrides)


def _options(arguments: Sequence[str]) -> dict[str, Any]:
    """Parse the arguments of `mlflow run` with the very parser MLflow uses; its own command cannot be imported yet."""
    import click

    valued = ["--version", "--docker-args", "--backend-config", "--storage-dir", "--run-id"]
    valued += ["--experiment-name", "--experiment-id", "--backend", "--env-manager", "--run-name"]
    short = {"--version": ["-v"], "--docker-args": ["-A"], "--backend-config": ["-c"], "--backend": ["-b"]}
    options = [click.Option([name, *short.get(name, [])], multiple=name == "--docker-args") for name in valued]
    options.append(click.Option(["--param-list", "-P"], multiple=True))
    options.append(click.Option(["--entry-point", "-e"], default="main"))
    options.append(click.Option(["--build-image"], is_flag=True))
    tolerant = {"ignore_unknown_options": True, "allow_extra_args": True}
    command = click.Command("run", params=[click.Argument(["uri"]), *options], context_settings=tolerant)
    return command.make_context("run", list(arguments), resilient_parsing=True).params


def _mlproject(uri: str | None) -> dict[str, Any] | None:
    """The MLproject of a local folder if it is this project's; MLflow ignores the case of the file's name."""
    if not uri or not os.path.isdir(uri):
        return None
    names = [name for name in os.listdir(uri) if name.lower() == "mlproject"]
    text = Path(uri, names[0]).read_text() if names else ""
    if _PROJECT not in text:
        return None
    import yaml

    try:
        project = yaml.safe_load(text)
    except yaml.YAMLError:
        return None  # MLflow reports it with the place of the mistake.
    return project if isinstance(project, dict) and project.get("name") == _PROJECT else None
