"""Apply a trained network to a scan."""

from __future__ import annotations

from typing import Any

import click

from ptycho_mlf.config.cli import config_options, given, option
from ptycho_mlf.runs.command import RunCommand


@click.command(cls=RunCommand, context_settings={"max_content_width": 120})
@option("run_id", "Use the network of this run.", default="")
@option("model", "Or a logged model: models:/name@alias, runs:/id/model.", default="")
@option("checkpoint", "Or a run's checkpoint; or, with --architecture, state dict or safetensors.", default="")
@option("weights", "Which weights of a run.", type=click.Choice(["best", "last"]), default="best", show_default=True)
@option("input", "npz file with `diffraction` and `coords_offsets`; else a test scan is simulated.", default="")
@option("device", "Where it runs.", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@option("output", "Folder for the files; else the run's artifacts, without a run ./reconstruction.", default="")
@config_options
def reconstruct(**values: Any) -> None:
    """Write the stitched object, figures, and scores where the true object is known.

    Without --input the test scan of the network's own settings is simulated; any of them can be given another value, to
    see how the network does on other data: --object disks, --nphotons 1e5, --geometry-seed 7. --batch-size, --threads
    and --precision are those of this computation.
    """
    own = {"run_id", "model", "checkpoint", "weights", "input", "device", "output"}
    overrides = {name: value for name, value in given(values).items() if name not in own and value != ""}
    from rich.console import Console

    from ptycho_mlf.runs.reconstruct import ReconstructRequest, run_reconstruction

    request = ReconstructRequest(overrides=overrides, **{name: values[name] for name in own})
    run_reconstruction(request, Console())


if __name__ == "__main__":
    reconstruct()
