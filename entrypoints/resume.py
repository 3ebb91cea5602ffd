"""Go on with a study that was killed or has failed trials."""

from __future__ import annotations

from typing import Any

import click

from ptycho_mlf.config.cli import execution_options, given, study_options
from ptycho_mlf.runs.command import RunCommand


@click.command(cls=RunCommand, context_settings={"max_content_width": 120})
@study_options("resume")
@execution_options
def resume(**values: Any) -> None:
    """Go on with a study that was killed or has failed trials."""
    from ptycho_mlf.studies.commands import resume

    resume(given(values))


if __name__ == "__main__":
    resume()
