"""Planted dead channels are counted where they are; a numpy oracle on a live place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ptycho_mlf.config import ModelConfig
from ptycho_mlf.generators import build_generator
from ptycho_mlf.telemetry.dead_channels import DeadChannelMeter, places


def generator(architecture: str, N: int = 16, **settings: int) -> nn.Module:
    sizes = {"width": 4, "modes": 4, "fno_blocks": 2, **settings}
    return build_generator(ModelConfig.model_validate({"architecture": architecture, **sizes}), N, 1, 0)


INPUT = torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("hybrid", {"body.encoder.0.branch", "body.encoder.1.branch", "body.bottleneck.branch", "body.decoder.0"}),
        ("fno", {"body.0.branch", "body.1.branch", "body.2", "body.3", "body.4"}),
        ("fno_vanilla", {"body.0.branch", "body.1.branch"}),
        ("ffno", {"body.mixer.0", "body.mixer.1", "body.refiner.0.branch", "body.refiner.1.branch"}),
    ],
)
def test_every_branch_and_stage_is_watched(architecture: str, expected: set[str]):
    assert set(places(generator(architecture))) == expected


def test_stages_of_convolutions_are_watched_too():
    stages = {"body.encoder.0", "body.encoder.1", "body.decoder.amplitude.0", "body.decoder.phase.0"}
    assert set(places(generator("cnn", N=32))) == stages
    branches = {f"body.encoder.{k}.branch" for k in range(3)} | {f"body.resnet.{k}" for k in range(6)}
    watched = set(places(generator("hybrid_resnet", fno_blocks=3)))
    assert watched == branches | {"body.decoder.0", "body.decoder.1"}


def test_a_dead_decoder_of_the_cnn_is_seen():
    model = generator("cnn", N=32)
    with torch.no_grad():
        for parameter in model.get_submodule("body.decoder.amplitude.0").parameters():
            parameter.fill_(-1)  # Positive inputs end below zero, and ReLU gives nothing else than zeros.
    with DeadChannelMeter(model) as meter, torch.no_grad():
        model(torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0)))
    found = meter.result()
    assert found["body.decoder.amplitude.0"] == 1.0
    assert found["body.decoder.phase.0"] < 1.0


def test_planted_dead_channels_are_counted_in_their_place():
    model = generator("hybrid")
    stage = model.get_submodule("body.decoder.0")
    with torch.no_grad():
        stage.refine.weight[:3] = 0  # Three of four channels become their bias.
        model.get_submodule("body.bottleneck.branch.local").bias.fill_(-100)  # GELU gives zeros everywhere.
    with DeadChannelMeter(model) as meter, torch.no_grad():
        for part in INPUT.split(4):
            model(part)
    assert meter.result() == {
        "body.encoder.0.branch": 0.0,
        "body.encoder.1.branch": 0.0,
        "body.bottleneck.branch": 1.0,
        "body.decoder.0": 0.75,
    }


def test_the_bound_is_relative_to_the_tensor():
    """A channel of amplitude a around 1 beside one of amplitude 1: dead up to a = 1e-6 of the RMS, in numpy."""

    class Body(nn.Module):
        def __init__(self, values: torch.Tensor) -> None:
            super().__init__()
            self.values = values

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.values

    noise = np.random.default_rng(0).normal(size=(5, 8, 8))
    for amplitude, dead in ((5e-7, 0.5), (5e-6, 0.0)):
        values = np.stack([1000 + noise, amplitude * 1000 * noise], 1)
        per_channel = values.std((0, 2, 3)) <= 1e-6 * np.sqrt((values**2).mean())
        assert per_channel.mean() == dead
        model = nn.Sequential()
        model.add_module("body", nn.Sequential(Body(torch.from_numpy(values))))
        with DeadChannelMeter(model) as meter:
            model(INPUT)
        assert meter.result() == {"body.0": dead}


def test_a_channel_that_changes_between_batches_only_is_alive():
    model = generator("hybrid")
    stage = model.get_submodule("body.decoder.0")
    with torch.no_grad():
        stage.refine.weight.zero_()
    with DeadChannelMeter(model) as meter, torch.no_grad():
        model(INPUT)
        stage.refine.bias.add_(1)
        model(INPUT)
    assert meter.result()["body.decoder.0"] == 0.0


def test_a_training_step_pays_nothing():
    model = generator("hybrid")
    with DeadChannelMeter(model):
        assert any(module._forward_hooks for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())
