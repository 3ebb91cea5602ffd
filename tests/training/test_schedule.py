"""Schedules against their closed forms, stepped as the training steps them."""

from __future__ import annotations

import math

import pytest
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ptycho_mlf.config import RunConfig
from ptycho_mlf.training.optimizer import build_optimizer
from ptycho_mlf.training.schedule import build_schedule

STEPS = 3


def rates(settings: dict, epochs: int, in_force: bool = True) -> list[float]:
    """Learning rate of every step."""
    training = RunConfig.from_flat({"learning_rate": 1e-3, "epochs": epochs, **settings}).training
    optimizer = build_optimizer(training, [torch.nn.Parameter(torch.ones(1))])
    schedule = build_schedule(training, optimizer, steps_per_epoch=STEPS, in_force=in_force)
    seen = []
    for _ in range(epochs * STEPS):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


def test_warmup_cosine_by_epoch_is_the_published_table():
    table = [1e-4, 5.5e-4, 1e-3, 9.63843e-4, 8.60876e-4, 7.06775e-4, 5.25e-4, 3.43225e-4, 1.89124e-4, 8.61572e-5]
    settings = {"scheduler": "WarmupCosine", "lr_warmup_epochs": 2, "scheduler_interval": "epoch"}
    seen = rates(settings, 10)
    assert seen[::STEPS] == pytest.approx(table, abs=1e-8)
    assert seen[1::STEPS] == seen[::STEPS]


def test_warmup_cosine_by_step_moves_within_the_epoch():
    seen = rates({"scheduler": "WarmupCosine", "lr_warmup_epochs": 1, "lr_min_ratio": 0.2}, 4)
    u = [t / STEPS for t in range(12)]
    eta = [1e-3 * (0.1 + 0.9 * x) if x < 1 else 2e-4 + 8e-4 * (1 + math.cos(math.pi * (x - 1) / 3)) / 2 for x in u]
    assert seen == pytest.approx(eta, rel=1e-12)


def test_cosine_without_warmup_starts_at_the_peak():
    assert rates({"scheduler": "WarmupCosine", "lr_warmup_epochs": 0}, 2)[0] == 1e-3


def test_auto_warmup_is_a_quarter_of_the_epochs():
    seen = rates({"scheduler": "WarmupCosine"}, 20)
    assert seen.index(max(seen)) == 5 * STEPS


def test_ramp_is_a_straight_line_in_the_logarithm():
    seen = rates({"scheduler": "Ramp", "lr_min_ratio": 1e-3}, 4)
    assert seen == pytest.approx([10 ** (-6 + 3 * t / 11) for t in range(12)], rel=1e-12)


def test_exponential():
    assert rates({"scheduler": "Exponential"}, 3) == pytest.approx([1e-3 * 0.95 ** (t / 3) for t in range(9)])
    by_epoch = rates({"scheduler": "Exponential", "scheduler_interval": "epoch", "lr_gamma": 0.5}, 3)
    assert by_epoch == pytest.approx([1e-3] * 3 + [5e-4] * 3 + [2.5e-4] * 3)


@pytest.mark.parametrize("scheduler", ["WarmupCosine", "Exponential"])
def test_a_schedule_not_in_force_is_constant(scheduler):
    assert set(rates({"scheduler": scheduler}, 4, in_force=False)) == {1e-3}


def test_default_is_constant():
    assert set(rates({"scheduler": "Default"}, 2)) == {1e-3}


def test_plateau_halves_on_the_third_bad_epoch_and_stops_at_its_floor():
    training = RunConfig.from_flat({"scheduler": "ReduceLROnPlateau", "learning_rate": 1.5e-4}).training
    optimizer = build_optimizer(training, [torch.nn.Parameter(torch.ones(1))])
    schedule = build_schedule(training, optimizer, steps_per_epoch=STEPS, in_force=True)
    assert isinstance(schedule, ReduceLROnPlateau)
    seen = []
    for val in [1.0, 0.5, 0.5, 0.6, 0.5, 0.4, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]:
        schedule.step(val)
        seen.append(optimizer.param_groups[0]["lr"])
    # Equal counts as bad; the third bad epoch in a row halves, then never below 5e-5.
    expected = [1.5e-4] * 4 + [7.5e-5] * 4 + [5e-5] * 4
    assert seen == pytest.approx(expected)
