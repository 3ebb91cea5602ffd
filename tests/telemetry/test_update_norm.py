"""The update norm is held against the difference of copied weights, in float64."""

from __future__ import annotations

import pytest
import torch

from ptycho_mlf.config import RunConfig
from ptycho_mlf.telemetry import update_norm as under_test
from ptycho_mlf.training.optimizer import build_optimizer


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adam", "learning_rate": 1e-2},
        {"optimizer": "adam", "learning_rate": 1e-2, "weight_decay": 0.5, "beta1": 0.5, "beta2": 0.9},
        {"optimizer": "adamw", "learning_rate": 1e-2, "weight_decay": 10.0},
        {"optimizer": "adamw", "learning_rate": 1e-2, "weight_decay": 10.0, "decay_exclude_1d": True},
        {"optimizer": "sgd", "learning_rate": 1e-1},
        {"optimizer": "sgd", "learning_rate": 1e-1, "momentum": 0.0, "weight_decay": 0.3},
        {"optimizer": "sgd", "learning_rate": 1e-1, "momentum": 0.5, "weight_decay": 0.3},
    ],
)
@pytest.mark.parametrize("chunk", [1 << 18, 5], ids=["one chunk", "many chunks"])
def test_it_is_the_norm_of_what_the_step_added(settings, chunk, monkeypatch):
    monkeypatch.setattr(under_test, "_CPU_CHUNK", chunk)
    training = RunConfig.from_flat(settings).training
    torch.manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(shape, dtype=torch.float64)) for shape in [(3, 4), (5,), ()]]
    optimizer = build_optimizer(training, params)
    for _ in range(4):
        before = [p.detach().clone() for p in params]
        for p in params:
            p.grad = torch.randn_like(p)
        optimizer.step()
        moved = {p: (p.detach() - b).norm() for p, b in zip(params, before, strict=True)}
        in_order = torch.stack([moved[p] for group in optimizer.param_groups for p in group["params"]])
        torch.testing.assert_close(under_test.update_norms(optimizer), in_order, rtol=1e-9, atol=0)
        torch.testing.assert_close(under_test.update_norms(optimizer).norm(), in_order.norm(), rtol=1e-9, atol=0)


def test_an_unknown_optimizer_is_refused():
    p = torch.nn.Parameter(torch.ones(2))
    p.grad = torch.ones(2)
    with pytest.raises(TypeError, match="RMSprop"):
        under_test.update_norms(torch.optim.RMSprop([p]))
