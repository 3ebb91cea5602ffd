"""Find the learning rate up to which an arm is stable."""

from __future__ import annotations

from typing import Any

import click

from ptycho_mlf.config.cli import config_options, given, study_options
from ptycho_mlf.runs.command import RunCommand


@click.command(cls=RunCommand, context_settings={"max_content_width": 120})
@study_options("lr_threshold")
@config_options
def lr_threshold(**values: Any) -> None:
    """Search LR50 and LR10, the learning rates at which 50 % and 10 % of the trainings crash, with intervals.

    Every trial is a new seed at the rate that tells most about the threshold. Values separated by | make an arm each:
    --architecture 'hybrid|stable_hybrid' --optimizer 'adam|sgd' searches four thresholds.
    """
    from ptycho_mlf.studies.commands import run_threshold

    run_threshold(given(values))


if __name__ == "__main__":
    lr_threshold()
