"""Whose activations are looked at: the network of a run, of a logged model, or of a file of weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

from torch import nn

from ptycho_mlf.config import DataConfig, InputError, RunConfig
from ptycho_mlf.generators import build_generator
from ptycho_mlf.generators.inference import check_weights, infer_size
from ptycho_mlf.tracking.existing import download_model
from ptycho_mlf.tracking.queries import download_artifact, find_runs
from ptycho_mlf.tracking.store import connect
from ptycho_mlf.training.fit import weights_seed

from .weights_file import WeightsFile, read_weights

Source = dict[str, str | int | float | bool | None]


@dataclass(frozen=True)
class Subject:
    """A trained network and what is known about it."""

    config: RunConfig
    generator: nn.Module
    source: Source
    step: int | None
    initial: nn.Module | None
    """The same network before training, where its seed is known."""


def network_source(config: RunConfig) -> Source:
    """Architecture and size, as the report's `source`."""
    return {"N": config.data.N, "channels": config.data.channels, **config.model.used()}


def of_run(run_id: str, weights: str, overrides: Mapping[str, str]) -> Subject:
    """The network of a recorded run, with its best or last weights.

    Raises:
        InputError: no such run, or without these weights.
    """
    connect()
    find_runs(run_ids=[run_id])
    config, seed = _recorded(download_artifact(run_id, "config.json"), overrides)
    file = read_weights(download_artifact(run_id, f"checkpoints/{weights}.ckpt"))
    return _subject(config, file, {"run_id": run_id, "weights": weights}, f"run {run_id}", seed)


def of_model(uri: str, folder: Path, overrides: Mapping[str, str]) -> Subject:
    """The network of a logged or registered model; `folder` is for its files.

    Raises:
        InputError: no such model, or none of ours.
    """
    connect()
    artifacts = download_model(uri, folder) / "artifacts"
    if not (artifacts / "config.json").is_file() or not (artifacts / "weights.safetensors").is_file():
        raise InputError(f"model={uri}: it was not made by ptycho_mlf (no config.json with weights.safetensors)")
    config, seed = _recorded(artifacts / "config.json", overrides)
    file = read_weights(artifacts / "weights.safetensors")
    return _subject(config, file, {"model": uri}, f"model={uri}", seed)


def of_checkpoint(path: Path, overrides: Mapping[str, str], N: int | None) -> Subject:
    """The network of a file of weights: its size is read from their shapes, as far as `overrides` do not give it.

    Raises:
        InputError: no architecture named, or weights that do not fit it.
    """
    if "architecture" not in overrides:
        raise InputError("architecture: a checkpoint alone does not tell; name one, such as architecture=stable_hybrid")
    file = read_weights(path)
    # A wrong value among the overrides is named before it is taken for a wrong file.
    side = RunConfig.from_flat({"N": overrides["N"]}).data.N if "N" in overrides else N
    try:
        size = infer_size(overrides["architecture"], file.weights, side, preferred=DataConfig().N)
    except InputError as error:
        raise InputError(f"checkpoint={path}: {error}") from None
    settings = {**size.settings, "N": size.N, "gridsize": isqrt(size.channels), **overrides}
    return _subject(RunConfig.from_flat(settings), file, {"checkpoint": str(path)}, f"checkpoint={path}", None)


def _recorded(path: Path, overrides: Mapping[str, str]) -> tuple[RunConfig, int]:
    """The configuration of a run, changed, and the seed of its initial weights."""
    parameters = json.loads(path.read_text())["parameters"]
    return RunConfig.from_flat({**parameters, **overrides}), weights_seed(RunConfig.from_flat(parameters))


def _subject(config: RunConfig, file: WeightsFile, origin: Source, label: str, seed: int | None) -> Subject:
    def build(seed: int) -> nn.Module:
        return build_generator(config.model, config.data.N, config.data.channels, seed)

    generator = build(0)
    try:
        check_weights(generator, file.weights)
    except InputError as error:
        raise InputError(f"{label}: {error}") from None
    generator.load_state_dict(file.weights)
    initial = None if seed is None else build(seed)
    return Subject(config, generator, origin | network_source(config), file.step, initial)
