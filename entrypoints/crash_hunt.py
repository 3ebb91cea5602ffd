"""Find the crash probability of every depth over many seeds."""

from __future__ import annotations

from typing import Any

import click

from ptycho_mlf.config.cli import config_options, given, study_options
from ptycho_mlf.runs.command import RunCommand


@click.command(cls=RunCommand, context_settings={"max_content_width": 120})
@study_options("crash_hunt")
@config_options
def crash_hunt(**values: Any) -> None:
    """Find the crash probability of every depth over many seeds.

    Any configuration parameter overrides all arms.
    """
    from ptycho_mlf.studies.commands import run_arms

    run_arms("crash_hunt", given(values))


if __name__ == "__main__":
    crash_hunt()
