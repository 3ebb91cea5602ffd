"""Files and options that repeat the declarations are held against them."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import click
import pytest
import yaml

from entrypoints.stage_a import stage_a
from ptycho_mlf.config import RunConfig, parameters
from ptycho_mlf.config.mlproject import mlproject_text
from ptycho_mlf.config.reference import reference_text

ROOT = Path(__file__).parents[2]


def test_mlproject_is_what_the_declarations_give():
    assert (ROOT / "MLproject").read_text() == mlproject_text()


@pytest.mark.parametrize("entry", ["main", "stage_a"])
def test_every_parameter_reaches_the_command_line_with_its_default(entry: str):
    declared = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"][entry]
    defaults = {name: str(spec["default"]) for name, spec in declared["parameters"].items()}
    assert list(defaults) == [name for _, name, _ in parameters()]
    # What MLflow would put on the command line parses back to the defaults.
    assert (
        RunConfig.from_flat({n: v.lower() if v in ("True", "False") else v for n, v in defaults.items()}) == RunConfig()
    )
    for name in defaults:
        assert f"--{name} {{{name}}}" in declared["command"]


def test_both_spellings_of_every_option():
    spellings = {
        name: param.opts for param in stage_a.params if isinstance(param, click.Option) and (name := param.name)
    }
    for _, name, _ in parameters():
        assert set(spellings[name]) == {f"--{name}", f"--{name.replace('_', '-')}"}


def test_the_reference_table_is_what_the_declarations_give():
    assert (ROOT / "docs" / "parameters.md").read_text() == reference_text()


def test_every_parameter_has_help():
    for _, name, field in parameters():
        assert field.description, name
        assert field.description.endswith("."), name


def test_conda_and_constraints_pin_the_same_versions():
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())
    (pip,) = [entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict)]
    conda_pins = dict(line.split("==") for line in pip)
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    required = {re.split(r"[><=]", line)[0] for line in setup["options"]["install_requires"].split()}
    assert set(conda_pins) == required
    assert {name: pins[name] for name in conda_pins} == conda_pins
