"""A trained network with its configuration: of a run, of a logged model, or of a file of weights."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any, Literal

from torch import nn

from ptycho_mlf.config import DataConfig, InputError, RunConfig
from ptycho_mlf.generators import build_generator
from ptycho_mlf.generators.inference import check_weights, infer_size
from ptycho_mlf.launch import user_path
from ptycho_mlf.tracking.existing import download_model
from ptycho_mlf.tracking.queries import download_artifact, find_runs
from ptycho_mlf.tracking.store import connect
from ptycho_mlf.training.fit import weights_seed

from .weights_file import WeightsFile, read_weights

Source = dict[str, str | int | float | bool | None]


@dataclass(frozen=True)
class NetworkRequest:
    """Which network. Exactly one of `run_id`, `checkpoint` and `model`; empty text means not given.

    Raises:
        InputError: none or several of them.
    """

    overrides: Mapping[str, str]
    """Configuration parameters: the architecture of weights alone, what their shapes do not tell, other data."""
    run_id: str = ""
    checkpoint: str = ""
    model: str = ""
    weights: Literal["best", "last"] = "best"
    """Of a run."""

    def __post_init__(self) -> None:
        if sum(bool(way) for way in (self.run_id, self.checkpoint, self.model)) != 1:
            raise InputError("run_id, checkpoint, model: name exactly one of them")


@dataclass(frozen=True)
class TrainedNetwork:
    """A network and what is known about it."""

    config: RunConfig
    generator: nn.Module
    source: Source
    """Where it comes from, its architecture and size."""
    step: int | None
    initial: nn.Module | None
    """The same network before training, where its seed is known."""


def architecture_and_size(config: RunConfig) -> Source:
    """What there is to say about the network of a configuration."""
    return {"N": config.data.N, "channels": config.data.channels, **config.model.used()}


def load_network(request: NetworkRequest, N: int | None) -> TrainedNetwork:
    """The network that is asked for.

    Args:
        request: which one.
        N: side of the patterns it is for, where they are given.

    Raises:
        InputError: it does not exist, or does not fit what is said about it.
    """
    if request.run_id:
        return _of_run(request.run_id, request.weights, request.overrides)
    if request.model:
        return _of_model(request.model, request.overrides)
    return _of_checkpoint(user_path(request.checkpoint), request.overrides, N)


def _of_run(run_id: str, weights: str, overrides: Mapping[str, str]) -> TrainedNetwork:
    connect()
    run_id = find_runs(run_ids=[run_id])[0].run_id
    parameters = _parameters(download_artifact(run_id, "config.json"))
    file = read_weights(download_artifact(run_id, f"checkpoints/{weights}.ckpt"))
    return _recorded(parameters, overrides, file, {"run_id": run_id, "weights": weights}, f"run {run_id}")


def _of_model(uri: str, overrides: Mapping[str, str]) -> TrainedNetwork:
    connect()
    with tempfile.TemporaryDirectory(prefix="ptycho_mlf-") as folder:
        artifacts = download_model(uri, Path(folder)) / "artifacts"
        if not (artifacts / "config.json").is_file() or not (artifacts / "weights.safetensors").is_file():
            raise InputError(f"model={uri}: it was not made by ptycho_mlf (no config.json with weights.safetensors)")
        parameters = _parameters(artifacts / "config.json")
        file = read_weights(artifacts / "weights.safetensors")
        return _recorded(parameters, overrides, file, {"model": uri}, f"model={uri}")


def _of_checkpoint(path: Path, overrides: Mapping[str, str], N: int | None) -> TrainedNetwork:
    """A checkpoint of ours has the configuration in it; of weights alone the shapes tell the size."""
    file = read_weights(path)
    origin: Source = {"checkpoint": str(path)}
    label = f"checkpoint={path}"
    if file.parameters is not None:
        return _recorded(file.parameters, overrides, file, origin, label)
    # A wrong value among the overrides is named before it is taken for a wrong file.
    given = RunConfig.unchecked(overrides)
    if "architecture" not in overrides:
        raise InputError(
            f"{label}: it holds weights alone; name their architecture, such as architecture=stable_hybrid"
        )
    side = given.data.N if "N" in overrides else N
    try:
        size = infer_size(given.model.architecture, file.weights, side, preferred=DataConfig().N)
    except InputError as error:
        raise InputError(f"{label}: {error}") from None
    settings = {**size.settings, "N": size.N, "gridsize": isqrt(size.channels)}
    if N is not None:
        # No object is simulated: any that could hold a patch will do.
        settings["size"] = max(DataConfig().size, 2 * size.N)
    return _network(RunConfig.from_flat({**settings, **overrides}), file, origin, label, None)


def _parameters(config_file: Path) -> dict[str, Any]:
    return json.loads(config_file.read_text())["parameters"]


def _recorded(
    parameters: Mapping[str, Any], overrides: Mapping[str, str], file: WeightsFile, origin: Source, label: str
) -> TrainedNetwork:
    """A network whose training is known; the seed of its initial weights is that of the training."""
    config = RunConfig.from_flat({**parameters, **overrides})
    return _network(config, file, origin, label, weights_seed(RunConfig.from_flat(parameters)))


def _network(config: RunConfig, file: WeightsFile, origin: Source, label: str, seed: int | None) -> TrainedNetwork:
    def build(seed: int) -> nn.Module:
        return build_generator(config.model, config.data.N, config.data.channels, seed)

    generator = build(0)
    try:
        check_weights(generator, file.weights)
    except InputError as error:
        raise InputError(f"{label}: {error}") from None
    generator.load_state_dict(file.weights)
    source = origin | architecture_and_size(config)
    return TrainedNetwork(config, generator, source, file.step, None if seed is None else build(seed))
