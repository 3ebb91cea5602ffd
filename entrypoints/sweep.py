"""Search settings: optimizer, learning rate, clipping, schedule, or any other parameter given as a range."""

from __future__ import annotations

from typing import Any

import click

from ptycho_mlf.config.cli import config_options, given, study_options
from ptycho_mlf.runs.command import RunCommand


@click.command(cls=RunCommand, context_settings={"max_content_width": 120})
@study_options("sweep")
@config_options
def sweep(**values: Any) -> None:
    """Search the settings with the best validation, among those with which every seed ends healthy.

    Any configuration parameter may be a range: --learning_rate log:1e-5..1e-1 (logarithmic), --clip_value 0.1..10
    (linear), --optimizer 'adam|sgd' (a choice); a plain value is the same for all points. Without any range the
    search covers optimizer, learning rate, clipping, schedule and warm-up. Ends with sweep.html and a command.
    """
    from ptycho_mlf.studies.commands import run_sweep

    run_sweep(given(values))


if __name__ == "__main__":
    sweep()
