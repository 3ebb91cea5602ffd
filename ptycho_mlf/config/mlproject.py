"""The MLproject file, written from the declared parameters: `python -m ptycho_mlf.config.mlproject > MLproject`."""

from __future__ import annotations

import json

from .describe import default_text
from .run import parameters

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

  coordinate_check:
    parameters:
      widths: {type: string, default: "8,16,32"}
      depths: {type: string, default: "2,3"}
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
    return _HEAD + "\n".join(_stage_a(entry) for entry in ("main", "stage_a")) + _OTHERS


def _stage_a(entry: str) -> str:
    lines = [f"  {entry}:", "    parameters:"]
    options: list[str] = []
    for _, name, field in parameters():
        number = isinstance(field.default, (int, float)) and not isinstance(field.default, bool)
        kind = "float" if number else "string"
        text = default_text(field.default)
        lines.append(f"      {name}: {{type: {kind}, default: {text if number else json.dumps(text)}}}")
        options.append(f"--{name} {{{name}}}")
    lines.append("    command: >-")
    lines.append("      python -m entrypoints.stage_a")
    lines += [f"      {option}" for option in options]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(mlproject_text(), end="")
