"""The measured step is torch's own step bit by bit, and its size that of the difference of copied weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ptycho_mlf.config import RunConfig
from ptycho_mlf.training import measured_step as under_test
from ptycho_mlf.training.optimizer import build_optimizer, masked_step

SHAPES = [(48, 16), (5,), (), (6, 4, 3, 3)]
SETTINGS = [
    {"optimizer": "adam"},
    {"optimizer": "adam", "weight_decay": 0.5, "beta1": 0.5, "beta2": 0.9},
    {"optimizer": "adamw", "weight_decay": 10.0},
    {"optimizer": "adamw", "weight_decay": 10.0, "decay_exclude_1d": True},
    {"optimizer": "sgd"},
    {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.3},
    {"optimizer": "sgd", "momentum": 0.5, "weight_decay": 0.3},
]


def parameters(dtype: torch.dtype) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, dtype=dtype, generator=generator)) for shape in SHAPES]


def walk(optimizer: Any, params: list[torch.nn.Parameter], frozen_at: int | None = None) -> Any:
    """Steps with random gradients; before each one yields copies of the weights, after it nothing is changed."""
    generator = torch.Generator().manual_seed(1)
    for step in range(5):
        for p in params:
            p.grad = torch.randn(p.shape, dtype=p.dtype, generator=generator)
        before = {p: p.detach().clone() for p in params}
        optimizer.grad_scale, optimizer.found_inf = None, torch.tensor(float(step == frozen_at))
        optimizer.step()
        yield before


@pytest.fixture(params=[1 << 18, 256, 5], ids=lambda limit: f"pieces of {limit}")
def piece(request, monkeypatch):
    monkeypatch.setattr(under_test, "_CPU_PIECE", request.param)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_its_size_is_that_of_the_difference_of_copies(settings, piece):
    params = parameters(torch.float64)
    optimizer = build_optimizer(RunConfig.from_flat({"learning_rate": 1e-2, **settings}).training, params)
    for before in walk(optimizer, params, frozen_at=3):
        in_order = [p for group in optimizer.param_groups for p in group["params"]]
        weights = torch.stack([before[p].norm() for p in in_order])
        updates = torch.stack([(p.detach() - before[p]).norm() for p in in_order])
        torch.testing.assert_close(optimizer.size.weights_T, weights, rtol=1e-12, atol=0)
        torch.testing.assert_close(optimizer.size.updates_T, updates, rtol=1e-12, atol=0)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_it_is_the_step_that_torch_takes(settings, monkeypatch):
    monkeypatch.setattr(under_test, "_CPU_PIECE", 256)
    mine, other = parameters(torch.float32), parameters(torch.float32)
    optimizer = build_optimizer(RunConfig.from_flat({"learning_rate": 1e-2, **settings}).training, mine)
    kind = next(k for k in (torch.optim.SGD, torch.optim.AdamW, torch.optim.Adam) if isinstance(optimizer, k))
    place = {p: k for k, p in enumerate(mine)}
    groups = [group | {"params": [other[place[p]] for p in group["params"]]} for group in optimizer.param_groups]
    stock = kind([{k: v for k, v in group.items() if k != "decoupled_weight_decay"} for group in groups])
    for _ in zip(walk(optimizer, mine, 3), walk(stock, other, 3), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine, other, strict=True))
    state = [s.state_dict()["state"] for s in (optimizer, stock)]
    torch.testing.assert_close(*state, rtol=0, atol=0)


def test_a_frozen_step_has_no_size():
    params = parameters(torch.float32)
    optimizer = build_optimizer(RunConfig.from_flat({}).training, params)
    for _ in walk(optimizer, params, frozen_at=0):
        assert optimizer.size.updates_T.any() == (optimizer.state[params[0]]["step"] > 0)


def test_a_weight_without_a_gradient_stays_and_is_not_counted():
    params = parameters(torch.float32)
    optimizer = build_optimizer(RunConfig.from_flat({"optimizer": "sgd"}).training, params)
    before = params[1].detach().clone()
    for p in (params[0], params[2], params[3]):
        p.grad = torch.ones_like(p)
    assert len(masked_step(optimizer, torch.tensor(0.0), measure=True).weights_T) == 3
    assert torch.equal(params[1], before)
