"""Train named arms with several seeds as one study."""

from __future__ import annotations

from typing import Any

import click

from ptycho_mlf.config.cli import config_options, given, study_options
from ptycho_mlf.runs.command import RunCommand
from ptycho_mlf.studies.arms_reference import arms_help


@click.command(cls=RunCommand, context_settings={"max_content_width": 120}, epilog="\b\nNamed arms:\n" + arms_help())
@study_options("arms")
@config_options
def arms(**values: Any) -> None:
    """Train named arms with several seeds as one study.

    Arms are those of the earlier study (docs/arms.md), of a JSON file, or one made of the parameters given. Any
    configuration parameter overrides all arms; values separated by | make an arm each.
    """
    from ptycho_mlf.studies.commands import run_arms

    run_arms("arms", given(values))


if __name__ == "__main__":
    arms()
