"""Train one generator on a simulated scan and record everything it leaves behind."""

from __future__ import annotations

from typing import Any

import click

from ptycho_mlf.config import RunConfig
from ptycho_mlf.config.cli import config_options, given
from ptycho_mlf.runs.command import RunCommand


@click.command(cls=RunCommand, context_settings={"max_content_width": 120})
@config_options
def stage_a(**values: Any) -> None:
    """Train one generator on a simulated scan, score it on an unseen object, and record the run in MLflow."""
    config = RunConfig.from_flat(given(values))
    from ptycho_mlf.runs.stage_a import run_stage_a

    run_stage_a(config)


if __name__ == "__main__":
    stage_a()
