"""The largest Hessian eigenvalue against LAPACK, on quadratics, a network, and what double backward must pass."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from ptycho_mlf.config import ModelConfig
from ptycho_mlf.generators import build_generator, list_generators
from ptycho_mlf.telemetry.sharpness import sharpness


@pytest.mark.parametrize("shift", [4.0, 0.0, -4.0, -40.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_random_symmetric_matrix(seed: int, shift: float):
    """Also where the eigenvalue of largest magnitude is negative, or all of them are."""
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(12, 12))
    matrix = matrix + matrix.T + shift * np.eye(12)
    w = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    v = torch.zeros(1, 7, dtype=torch.float64, requires_grad=True)
    both = torch.cat([w, v.flatten()])
    found = sharpness(0.5 * both @ torch.from_numpy(matrix) @ both, [w, v])
    assert found.converged
    assert found.top == pytest.approx(float(np.linalg.eigvalsh(matrix)[-1]), rel=0.005)


def test_a_network_whose_hessian_is_written_out():
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 2)).double()
    x, y = torch.randn(8, 3).double(), torch.randn(8, 2).double()
    parameters = list(layer.parameters())
    shapes = [p.shape for p in parameters]

    def loss(flat: torch.Tensor) -> torch.Tensor:
        parts = flat.split([s.numel() for s in shapes])
        named = {n: t.view(s) for (n, _), t, s in zip(layer.named_parameters(), parts, shapes, strict=True)}
        return (torch.func.functional_call(layer, named, (x,)) - y).square().mean()

    flat = torch.cat([p.detach().flatten() for p in parameters])
    hessian = torch.autograd.functional.hessian(loss, flat)
    state = torch.random.get_rng_state()
    found = sharpness((layer(x) - y).square().mean(), parameters)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(p.grad is None for p in parameters)
    assert found.converged
    assert found.top == pytest.approx(float(np.linalg.eigvalsh(hessian.numpy())[-1]), rel=0.01)


def test_a_loss_without_curvature_has_none():
    w = torch.ones(3, requires_grad=True)
    unused = torch.ones(2, requires_grad=True)
    assert sharpness((2 * w).sum(), [w, unused]).top == 0
    assert math.isnan(sharpness((w - 1).square().sum().sqrt(), [w]).top)  # a cone's tip


STEP = 1e-9
"""So short that no ReLU opens or shuts on the way."""


@pytest.mark.parametrize("architecture", list_generators())
def test_every_architecture_passes_gradients_of_gradients(architecture: str):
    """Hessian-vector products against central differences of the gradient, float64, no branch without a second
    derivative."""
    config = ModelConfig.model_validate({"architecture": architecture, "width": 4, "modes": 4, "fno_blocks": 3})
    generator = build_generator(config, 16, 1, 0).double()
    torch.manual_seed(0)
    x = torch.rand(2, 1, 16, 16, dtype=torch.float64)
    parameters = list(generator.parameters())
    vector = [torch.randn_like(p) for p in parameters]

    def gradient(*, create_graph: bool) -> tuple[torch.Tensor, ...]:
        loss = torch.view_as_real(generator(x)).square().mean()
        return torch.autograd.grad(loss, parameters, create_graph=create_graph, materialize_grads=True)

    first = gradient(create_graph=True)
    curved = [(g, v) for g, v in zip(first, vector, strict=True) if g.requires_grad]
    product = torch.autograd.grad([g for g, _ in curved], parameters, [v for _, v in curved], materialize_grads=True)
    ends: list[tuple[torch.Tensor, ...]] = []
    with torch.no_grad():
        for sign in (1, -1):
            for p, v in zip(parameters, vector, strict=True):
                p.add_(v, alpha=sign * STEP)
            with torch.enable_grad():
                ends.append(gradient(create_graph=False))
            for p, v in zip(parameters, vector, strict=True):
                p.sub_(v, alpha=sign * STEP)
    want = torch.cat([((a - b) / (2 * STEP)).flatten() for a, b in zip(*ends, strict=True)])
    found = torch.cat([t.flatten() for t in product])
    assert (found - want).norm() < 1e-5 * want.norm()
