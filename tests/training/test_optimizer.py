"""Optimizers against their update rules in numpy float64, and the step that is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ptycho_mlf.config import RunConfig
from ptycho_mlf.training.optimizer import build_optimizer, masked_step

GRADIENTS = np.random.default_rng(0).normal(size=(6, 5))
START = np.random.default_rng(1).normal(size=5)


def adam(w, decay, decoupled, lr, b1, b2):
    m = v = np.zeros_like(w)
    for t, g in enumerate(GRADIENTS, start=1):
        if decoupled:
            w = w * (1 - lr * decay)
        else:
            g = g + decay * w
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        w = w - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + 1e-8)
    return w


def sgd(w, decay, lr, mu):
    v = np.zeros_like(w)
    for g in GRADIENTS:
        g = g + decay * w
        v = mu * v + g
        w = w - lr * (g + mu * v)
    return w


CASES = {
    "adam": ({"optimizer": "adam", "beta1": 0.8}, adam(START, 0.2, False, 0.1, 0.8, 0.999)),
    "adamw": ({"optimizer": "adamw", "beta2": 0.9}, adam(START, 0.2, True, 0.1, 0.9, 0.9)),
    "sgd": ({"optimizer": "sgd"}, sgd(START, 0.2, 0.1, 0.9)),
    "sgd without momentum": ({"optimizer": "sgd", "momentum": 0.0}, sgd(START, 0.2, 0.1, 0.0)),
}


def walked(settings, frozen_at=()):
    training = RunConfig.from_flat({**settings, "learning_rate": 0.1, "weight_decay": 0.2}).training
    param = torch.nn.Parameter(torch.from_numpy(START.copy()))
    optimizer = build_optimizer(training, [param])
    for step, g in enumerate(GRADIENTS):
        frozen = step in frozen_at
        param.grad = torch.full((5,), float("nan"), dtype=torch.float64) if frozen else torch.from_numpy(g)
        masked_step(optimizer, torch.tensor(float(frozen)), measure=step % 2 == 0)
    return param.detach().numpy()


@pytest.mark.parametrize("case", CASES)
def test_steps_follow_the_rule(case):
    settings, expected = CASES[case]
    np.testing.assert_allclose(walked(settings), expected, rtol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_a_frozen_step_changes_nothing_whatever_the_gradient(case):
    settings, _ = CASES[case]
    assert np.array_equal(walked(settings, frozen_at=range(6)), START)
    assert np.isfinite(walked(settings, frozen_at=[2])).all()


def test_biases_can_be_left_out_of_decay():
    training = RunConfig.from_flat({"weight_decay": 0.1, "decay_exclude_1d": "true"}).training
    matrix, bias, gate = (torch.nn.Parameter(torch.ones(s)) for s in [(2, 2), (2,), ()])
    groups = build_optimizer(training, [matrix, bias, gate]).param_groups
    assert [(g["weight_decay"], [p.ndim for p in g["params"]]) for g in groups] == [(0.1, [2]), (0.0, [1, 0])]
