"""What the entry points of studies call: from options as text to a study that is run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from ptycho_mlf.config import RunConfig
from ptycho_mlf.config.describe import default_text
from ptycho_mlf.config.study import StudyConfig, read_section, study_parameters

from .compose import arms_plan, split_execution, threshold_plan
from .engine import join_study, resume_study, run_study
from .sweep.sweep_plan import sweep_plan


def run_arms(entry: str, values: Mapping[str, str]) -> None:
    """`arms`, `stage_b`, `crash_hunt`: every arm with every seed."""
    settings, wanted, execution = _split(entry, values)
    run_study(arms_plan(entry, wanted), settings, execution, _command(entry, wanted))


def run_threshold(values: Mapping[str, str]) -> None:
    """`lr_threshold`: the learning rate at which half of the trainings crash, per arm."""
    settings, wanted, execution = _split("lr_threshold", values)
    run_study(threshold_plan(wanted), settings, execution, _command("lr_threshold", wanted))


def run_sweep(values: Mapping[str, str]) -> None:
    """`sweep`: the best point of a space of settings."""
    settings, wanted, execution = _split("sweep", values)
    run_study(sweep_plan(wanted), settings, execution, _command("sweep", wanted))


def join(values: Mapping[str, str]) -> None:
    """`worker`: help with a study."""
    settings, _, execution = _split("worker", values)
    join_study(settings, execution)


def resume(values: Mapping[str, str]) -> None:
    """`resume`: go on with a study."""
    settings, _, execution = _split("resume", values)
    resume_study(settings, execution)


def _command(entry: str, wanted: Mapping[str, str]) -> str:
    """The command that computes the same; where and by how many is left out, as are defaults."""
    defaults = {name: default_text(default) for _, name, _, default in study_parameters(entry)}
    given = {name: value for name, value in wanted.items() if value != defaults.get(name)}
    return shlex.join(["python", "-m", f"entrypoints.{entry}", *(w for n, v in given.items() for w in (f"--{n}", v))])


def _split(entry: str, values: Mapping[str, str]) -> tuple[StudyConfig, dict[str, str], dict[str, str]]:
    """Where the study is coordinated, what it computes, and how its runs are executed."""
    settings = read_section(entry, StudyConfig, values)
    wanted, execution = split_execution(values)
    RunConfig.from_flat(execution)  # Refused before there is a study.
    return settings, {name: value for name, value in wanted.items() if name not in StudyConfig.model_fields}, execution
