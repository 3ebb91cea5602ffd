"""The MLproject file, written from the declared parameters: `python -m ptycho_mlf.config.mlproject > MLproject`."""

from __future__ import annotations

import json
from collections.abc import Iterable

from .describe import default_text
from .run import parameters
from .study import ENTRIES, study_parameters

_HEAD = """\
# Written by `python -m ptycho_mlf.config.mlproject > MLproject`; a test holds it against ptycho_mlf/config.
name: ptycho_mlf
conda_env: conda.yaml

entry_points:
"""

_OTHERS = """\

  quickstart:
    command: "python -m entrypoints.quickstart"

  compare:
    parameters:
      experiment: {type: string, default: ""}
      runs: {type: string, default: ""}
      parent: {type: string, default: ""}
      json: {type: string, default: "false"}
    command: "python -m entrypoints.compare --experiment {experiment} --runs {runs} --parent {parent} --json {json}"

  report:
    parameters:
      study: {type: string, default: ""}
      runs: {type: string, default: ""}
      parent: {type: string, default: ""}
      output: {type: string, default: ""}
    command: "python -m entrypoints.report --study {study} --runs {runs} --parent {parent} --output {output}"

  activations:
    parameters:
      run_id: {type: string, default: ""}
      checkpoint: {type: string, default: ""}
      model: {type: string, default: ""}
      architecture: {type: string, default: ""}
      weights: {type: string, default: "last"}
      input: {type: string, default: ""}
      reference: {type: string, default: ""}
      max_samples: {type: float, default: 16}
      batch_size: {type: string, default: ""}
      device: {type: string, default: "auto"}
      output: {type: string, default: ""}
      output_json_name: {type: string, default: ""}
    command: >-
      python -m entrypoints.activations
      --run_id {run_id}
      --checkpoint {checkpoint}
      --model {model}
      --architecture {architecture}
      --weights {weights}
      --input {input}
      --reference {reference}
      --max_samples {max_samples}
      --batch_size {batch_size}
      --device {device}
      --output {output}
      --output_json_name {output_json_name}

  reconstruct:
    parameters:
      run_id: {type: string, default: ""}
      model: {type: string, default: ""}
      checkpoint: {type: string, default: ""}
      architecture: {type: string, default: ""}
      weights: {type: string, default: "best"}
      input: {type: string, default: ""}
      batch_size: {type: string, default: ""}
      device: {type: string, default: "auto"}
      output: {type: string, default: ""}
    command: >-
      python -m entrypoints.reconstruct
      --run_id {run_id}
      --model {model}
      --checkpoint {checkpoint}
      --architecture {architecture}
      --weights {weights}
      --input {input}
      --batch_size {batch_size}
      --device {device}
      --output {output}

  coordinate_check:
    parameters:
      widths: {type: string, default: "8,16,32"}
      depths: {type: string, default: "auto"}
      steps: {type: float, default: 4}
      seeds: {type: float, default: 3}
    command: >-
      python -m entrypoints.coordinate_check
      --widths {widths}
      --depths {depths}
      --steps {steps}
      --seeds {seeds}
"""


def mlproject_text() -> str:
    """The whole file. `main` and `stage_a` declare every parameter, the others only their own."""
    every = [(name, field.default) for _, name, field in parameters()]
    parts = [_entry("main", "stage_a", every), _entry("stage_a", "stage_a", every)]
    own = {entry: [(name, default) for _, name, _, default in study_parameters(entry)] for entry in ENTRIES}
    parts += [_entry(entry, entry, defaults) for entry, defaults in own.items()]
    return _HEAD + "\n".join(parts) + _OTHERS


def _entry(name: str, module: str, defaults: Iterable[tuple[str, object]]) -> str:
    lines = [f"  {name}:", "    parameters:"]
    options: list[str] = []
    for parameter, default in defaults:
        number = isinstance(default, (int, float)) and not isinstance(default, bool)
        kind = "float" if number else "string"
        text = default_text(default)
        lines.append(f"      {parameter}: {{type: {kind}, default: {text if number else json.dumps(text)}}}")
        options.append(f"--{parameter} {{{parameter}}}")
    lines.append("    command: >-")
    lines.append(f"      python -m entrypoints.{module}")
    lines += [f"      {option}" for option in options]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(mlproject_text(), end="")
