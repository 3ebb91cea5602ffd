"""Work on a study that runs elsewhere, until nothing is left to do."""

from __future__ import annotations

from typing import Any

import click

from ptycho_mlf.config.cli import execution_options, given, study_options
from ptycho_mlf.runs.command import RunCommand


@click.command(cls=RunCommand, context_settings={"max_content_width": 120})
@study_options("worker")
@execution_options
def worker(**values: Any) -> None:
    """Work on a study that runs elsewhere, until nothing is left to do."""
    from ptycho_mlf.studies.commands import join

    join(given(values))


if __name__ == "__main__":
    worker()
