"""Convolutions with a bias gradient of their own are torch's layers, in values, gradients and curvature."""

import copy

import pytest
import torch
from torch import nn

from ptycho_mlf.config import ModelConfig
from ptycho_mlf.generators import build_generator
from ptycho_mlf.generators.convolution import Convolution, Doubling

PLAIN = {Convolution: nn.Conv2d, Doubling: nn.ConvTranspose2d}

both_layers = pytest.mark.parametrize(
    ("ours", "plain"),
    [
        (lambda: Convolution(3, 5, 3, padding=1), lambda: nn.Conv2d(3, 5, 3, padding=1)),
        (lambda: Doubling(3, 5), lambda: nn.ConvTranspose2d(3, 5, 2, stride=2)),
    ],
)


def seeded(make):
    torch.manual_seed(3)
    return make()


def images(dtype=torch.float32, channels=3):
    x = torch.randn(2, channels, 6, 6, dtype=dtype, generator=torch.Generator().manual_seed(0))
    return x.to(memory_format=torch.channels_last).requires_grad_()


@both_layers
def test_a_seed_gives_the_parameters_of_torchs_layer(ours, plain):
    ours, plain = seeded(ours).state_dict(), seeded(plain).state_dict()
    assert list(ours) == list(plain)
    assert all(torch.equal(ours[name], plain[name]) for name in plain)


@both_layers
def test_values_and_gradients_are_those_of_torchs_layer(ours, plain):
    found = []
    for layer in (seeded(ours), seeded(plain)):
        x = images()
        y = layer(x)
        (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
        found.append([y, x.grad, *(p.grad for p in layer.parameters())])
    assert all(grad is not None for grad in found[0])
    assert torch.equal(found[0][0], found[1][0])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@both_layers
def test_curvature_is_that_of_torchs_layer(ours, plain):
    """Sharpness differentiates gradients again."""
    found = []
    for layer in (seeded(ours).double(), seeded(plain).double()):
        x = images(torch.float64)
        at = [x, *layer.parameters()]
        gradients = torch.autograd.grad(layer(x).tanh().square().sum(), at, create_graph=True)
        along = sum((g * torch.linspace(-1, 1, g.numel()).view_as(g)).sum() for g in gradients)
        found.append(torch.autograd.grad(along, at))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@both_layers
def test_without_gradients_and_in_bf16_it_is_torchs_layer(ours, plain):
    layer, x = seeded(ours), images()
    with torch.no_grad():
        assert torch.equal(layer(x), seeded(plain)(x))
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert layer.bias.grad.dtype == torch.float32


def test_twenty_steps_of_the_hybrid_are_those_with_torchs_layers():
    model = ModelConfig(architecture="hybrid", width=6, modes=4, fno_blocks=3)
    ours = build_generator(model, 16, 1, seed=0)
    plain = copy.deepcopy(ours)
    changed = [module for module in plain.modules() if type(module) in PLAIN]
    assert len(changed) == 2 + 4 + 2 * 3
    for module in changed:
        module.__class__ = PLAIN[type(module)]
    torch.testing.assert_close(torch.tensor(losses(ours)), torch.tensor(losses(plain)), rtol=1e-5, atol=0)


def losses(generator):
    optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3)
    random = torch.Generator().manual_seed(1)
    trace = []
    for _ in range(20):
        x = torch.rand(4, 1, 16, 16, generator=random)
        loss = (generator(x).abs() - x).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        trace.append(loss.item())
    assert trace[-1] < trace[0]
    return trace
