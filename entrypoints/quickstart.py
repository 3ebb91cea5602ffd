"""Stage A at small size, in a few minutes on a CPU."""

from __future__ import annotations

from typing import Any

import click

from ptycho_mlf.config.cli import config_options, given
from ptycho_mlf.runs.command import RunCommand


@click.command(cls=RunCommand, context_settings={"max_content_width": 120})
@config_options
def quickstart(**values: Any) -> None:
    """Train three small arms that all learn, print their comparison, and say how to open the UI.

    Any option overrides all arms.
    """
    from ptycho_mlf.runs.quickstart import run_quickstart

    run_quickstart(given(values))


if __name__ == "__main__":
    quickstart()
