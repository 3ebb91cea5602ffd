"""Forward RMS and backward norm against closed forms, and on every generator."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from ptycho_mlf.config import ModelConfig
from ptycho_mlf.generators import build_generator, list_generators
from ptycho_mlf.telemetry.activation_statistics import hooked_layers
from ptycho_mlf.telemetry.signal_propagation import Signal, outline, propagate


def scaled_chain(width: int, gains: list[float]) -> nn.Sequential:
    """Layers that rotate and scale: the RMS of their output and the norm of the gradient are known."""
    torch.manual_seed(width)
    layers: list[nn.Module] = []
    for gain in gains:
        layer = nn.Linear(width, width, bias=False)
        layer.weight.data = gain * torch.linalg.qr(torch.randn(width, width))[0]
        layers.append(layer)
    return nn.Sequential(*layers)


@pytest.mark.parametrize("width", [4, 32])
def test_rotations_scale_the_signal_forwards_and_the_gradient_backwards(width: int):
    gains = [2.0, 0.5, 3.0]
    model, batch = scaled_chain(width, gains), torch.ones(5, width)

    def loss(x: Tensor) -> Tensor:
        return model(x).square().sum() / 2  # Its gradient is the output.

    signals = propagate(model, batch, loss)
    norm = math.sqrt(5 * width) * math.prod(gains)
    for k, signal in enumerate(signals):
        assert signal.place == str(k)
        assert signal.kind == "Linear"
        assert signal.forward_rms == pytest.approx(math.prod(gains[: k + 1]), rel=1e-5)
        assert signal.backward_norm == pytest.approx(norm * math.prod(gains[k + 1 :]), rel=1e-5)
    assert len(signals) == 3


def test_random_weights_multiply_the_rms_by_the_root_of_the_width():
    """y = Wx with W ~ N(0, 1) and |x_i| = 1: E y^2 = width."""
    torch.manual_seed(0)
    for width in (64, 256):
        model = nn.Sequential(nn.Linear(width, 4096, bias=False))
        nn.init.normal_(model[0].weight)  # pyright: ignore[reportArgumentType]
        (signal,) = propagate(model, torch.ones(1, width), lambda x, model=model: model(x).sum())
        assert signal.forward_rms == pytest.approx(math.sqrt(width), rel=0.05)


class Branches(nn.Module):
    """Calls one layer twice and ignores another; the first place has no parameter before it."""

    def __init__(self) -> None:
        super().__init__()
        self.same = nn.Identity()
        self.twice = nn.Linear(3, 3, bias=False)
        self.unused = nn.Linear(3, 3)
        nn.init.constant_(self.twice.weight, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        y = self.same(x)
        self.unused(y)
        return self.twice(self.twice(y))


def test_second_calls_unused_layers_and_places_before_all_parameters():
    model = Branches()
    found = {s.place: s for s in propagate(model, torch.ones(1, 3), lambda x: model(x).sum())}
    assert list(found) == ["same", "unused", "twice", "twice#2"]
    # Each pass through `twice` sums three ones, forwards and backwards.
    norms = {place: signal.backward_norm / math.sqrt(3) for place, signal in found.items()}
    assert norms == pytest.approx({"same": 9.0, "unused": 0.0, "twice": 3.0, "twice#2": 1.0})
    assert found["twice#2"].forward_rms == pytest.approx(9.0)
    assert all(p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())

    with pytest.raises(ValueError, match="through the network"):
        propagate(model, torch.ones(1, 3), lambda x: x.sum())


@pytest.mark.parametrize("architecture", list_generators())
def test_every_generator_tells_all_its_places_and_the_same_twice(architecture: str):
    small = {"fno_blocks": 3 if architecture == "hybrid_resnet" else 2, "modes": 4, "resnet_blocks": 1}
    small["width"] = 16 if architecture == "cnn" else 4  # Attention of four channels may shut all its ReLU.
    config = ModelConfig.model_validate({"architecture": architecture, **small})

    def once() -> tuple[nn.Module, list[Signal]]:
        model = build_generator(config, 16, 1, seed=3)
        batch = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
        return model, propagate(model, batch, lambda x: model(x).abs().mean())

    model, signals = once()
    assert {s.place.partition("#")[0] for s in signals} == hooked_layers(model).keys()
    assert all(s.forward_rms > 0 and math.isfinite(s.backward_norm) for s in signals)
    last = signals[-1]
    # d mean|x| / dx is 1 / n everywhere.
    assert last.place == "head"
    assert last.backward_norm == pytest.approx(1 / math.sqrt(2 * 16 * 16), rel=1e-4)
    assert once()[1] == signals

    names = outline(model)
    heads = {"head.amplitude", "head.phase"} if architecture == "cnn" else {"head.projection"}
    assert {"lifter.lift", *heads} <= set(names) < set(hooked_layers(model))
    assert len(names) <= 16
