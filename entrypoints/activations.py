"""Look at the activations of a trained network, layer by layer."""

from __future__ import annotations

from typing import Any

import click

from ptycho_mlf.config.cli import config_options, given, option
from ptycho_mlf.runs.command import RunCommand


@click.command(cls=RunCommand, context_settings={"max_content_width": 120})
@option("run_id", "Look at the network of this run.", default="")
@option("checkpoint", "Or at a run's checkpoint; or, with --architecture, state dict or safetensors.", default="")
@option("model", "Or at a logged model: models:/name@alias, runs:/id/model.", default="")
@option("weights", "Which weights of a run.", type=click.Choice(["best", "last"]), default="last", show_default=True)
@option("input", "npz file with `diffraction` (n, N, N, C); else validation patterns are simulated.", default="")
@option("reference", "Another report to compare with; else, of a run or model, the initial weights.", default="")
@option("max_samples", "Most patterns to look at.", type=click.IntRange(1), default=16, show_default=True)
@option("device", "Where it runs.", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@option("output", "Folder for the report; else the run's artifacts, without a run ./activations.", default="")
@option("output_json_name", "Name of the JSON file; the page ends in .html instead.", default="")
@config_options
def activations(**values: Any) -> None:
    """Write statistics of every layer's output as JSON and as a page with heatmaps.

    Architecture and size come from the run, the model, or the shapes of the weights; what these do not tell can be
    given as a configuration parameter. --batch-size patterns pass at a time: quantiles are exact within a batch.
    """
    own = {"run_id", "checkpoint", "model", "weights", "input", "reference", "max_samples", "device"}
    own |= {"output", "output_json_name"}
    overrides = {name: value for name, value in given(values).items() if name not in own and value != ""}
    from ptycho_mlf.runs.activations import ActivationRequest, report_activations

    request = ActivationRequest(overrides=overrides, **{name: values[name] for name in own})
    for line in report_activations(request):
        click.echo(line)


if __name__ == "__main__":
    activations()
