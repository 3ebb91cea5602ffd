"""See how the outputs of every layer change with the width of the network."""

from __future__ import annotations

from typing import Any

import click

from ptycho_mlf.config.cli import config_options, given
from ptycho_mlf.runs.command import RunCommand

_OWN = ("widths", "depths", "steps", "seeds")


@click.command(cls=RunCommand, context_settings={"max_content_width": 120})
@click.option("--widths", help="Widths, increasing, separated by commas.", default="8,16,32", show_default=True)
@click.option("--depths", help="Depths (fno_blocks), increasing.", default="auto", show_default=True)
@click.option("--steps", help="Steps on one batch.", type=click.IntRange(1, 1000), default=4, show_default=True)
@click.option("--seeds", help="Number of initial weights.", type=click.IntRange(1, 100), default=3, show_default=True)
@config_options
def coordinate_check(**values: Any) -> None:
    """Train networks of several widths for a few steps, and fit how the change of every output scales with the width.

    Also measures, at initialisation, the RMS of every output and the gradient of the loss that reaches it. Small
    defaults: N=32, modes=8, batch_size=8; any other configuration parameter can be given.
    """
    from ptycho_mlf.runs.coordinate_check import CoordinateRequest, check_coordinates

    overrides = {name: value for name, value in given(values).items() if name not in _OWN}
    check_coordinates(CoordinateRequest(overrides=overrides, **{name: values[name] for name in _OWN}))


if __name__ == "__main__":
    coordinate_check()
