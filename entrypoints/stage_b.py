"""Train the depth-stress arms with several seeds as one study."""

from __future__ import annotations

from typing import Any

import click

from ptycho_mlf.config.cli import config_options, given, study_options
from ptycho_mlf.runs.command import RunCommand


@click.command(cls=RunCommand, context_settings={"max_content_width": 120})
@study_options("stage_b")
@config_options
def stage_b(**values: Any) -> None:
    """Train the depth-stress arms with several seeds as one study.

    Any configuration parameter overrides all arms.
    """
    from ptycho_mlf.studies.commands import run_arms

    run_arms("stage_b", given(values))


if __name__ == "__main__":
    stage_b()
