"""Curvature looked at while a network trains: it trains as if nobody looked, and the numbers are those of the end."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ptycho_mlf.config import RunConfig
from ptycho_mlf.physics.model_probe import model_probe
from ptycho_mlf.runs.dataset import load_run_data
from ptycho_mlf.training.activation_monitor import spread
from ptycho_mlf.training.clipping import build_clipper
from ptycho_mlf.training.curvature_monitor import CurvatureMonitor, clipped_gradients
from ptycho_mlf.training.fit import TrainingResult, fit
from ptycho_mlf.training.instruments import Instrument


class Silent:
    def steps(self, rows: object) -> None: ...

    def epoch(self, row: object) -> None: ...


class StateAround(Instrument):
    """Everything a look must leave alone, taken before and after it."""

    def __init__(self) -> None:
        self.taken: list[object] = []

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        module = pl_module
        self.taken.append(
            [
                {name: value.clone() for name, value in module.state_dict().items()},
                [p.grad.clone() for p in module.model.parameters() if p.grad is not None],
                [id(p.grad) for p in module.model.parameters()],
                [{k: torch.as_tensor(v).clone() for k, v in s.items()} for s in trainer.optimizers[0].state.values()],
                [group["lr"] for group in trainer.optimizers[0].param_groups],
                {name: value.clone() for name, value in module.clipper.state_dict().items()},
                torch.random.get_rng_state(),
                torch.tensor(list(repr((np.random.get_state(), random.getstate())).encode())),
                module.training,
            ]
        )

    def write(self, folder: Path) -> None: ...


def train(config: RunConfig, folder: Path, *instruments: Instrument) -> TrainingResult:
    data = load_run_data(config)
    return fit(config, data.train, data.holdout, data.val, folder, Silent(), instruments)


@pytest.mark.parametrize(
    "changes",
    [
        {"clip_algorithm": "zclip"},
        {"optimizer": "sgd", "clip_algorithm": "norm", "clip_value": 0.01},
        {"optimizer": "adamw", "weight_decay": 0.1, "precision": "bf16", "architecture": "stable_hybrid"},
    ],
)
def test_the_training_is_bit_for_bit_the_same(changes: dict[str, object], tiny, tmp_path: Path):
    config = tiny(**{"epochs": 7, "learning_rate": 3e-3, **changes})
    before, after, monitor = StateAround(), StateAround(), CurvatureMonitor(1, 3)
    looked = train(config, tmp_path / "a", before, monitor, after)
    torch.testing.assert_close(after.taken, before.taken, rtol=0, atol=0)
    alone = train(config, tmp_path / "b")
    assert [row["epoch"] for row in monitor.critical_rates] == [1, 2, 3, 4, 5, 6, 7]
    assert [(row["epoch"], row["step"]) for row in monitor.sharpnesses] == [(3, 15), (6, 30)]
    for name, column in alone.trace.columns.items():
        np.testing.assert_array_equal(looked.trace[name], column)
    assert [row.val_loss for row in looked.history] == [row.val_loss for row in alone.history]
    for ours, theirs in zip(looked.generator.parameters(), alone.generator.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_artifact_and_the_series_say_the_same(tiny, tmp_path: Path):
    monitor = CurvatureMonitor(1, 2)
    config = tiny(epochs=4, scheduler="Default")
    result = train(config, tmp_path, monitor)
    monitor.write(tmp_path)
    document = json.loads((tmp_path / "curvature.json").read_text())
    assert document["patterns"] == 16
    rates = document["critical_rate"]
    assert [row["step"] for row in rates] == [5, 10, 15, 20]
    for row in rates:
        assert row["lr"] == 3e-3
        assert row["lower"] < row["eta_c"] < row["upper"] <= 1.05 * row["lower"]
        assert row["margin"] == pytest.approx(row["eta_c"] / 3e-3)
        assert row["lambda_c"] == pytest.approx(2 / row["eta_c"])
        assert row["passes"] <= 12
    data = load_run_data(config)
    amplitude = data.train.amplitude_nCNN[data.holdout.train][spread(72, 16)]
    with torch.no_grad():
        object_BCNN = result.generator(torch.from_numpy(amplitude)).numpy()
    probe_NN = model_probe(data.train.probe_PNN, data.train.probe_norm, "simulated")[0, 0, 0].numpy()
    predicted = np.abs(np.fft.fftshift(np.fft.fft2(object_BCNN * probe_NN, norm="ortho"), axes=(-2, -1)))
    mae = np.abs(predicted - amplitude).mean() / amplitude.mean()
    assert rates[-1]["loss"] == pytest.approx(mae, rel=1e-4)
    assert [row["step"] for row in document["sharpness"]] == [10, 20]
    assert all(row["top"] > 0 and row["products"] > 1 for row in document["sharpness"])
    points = monitor.points()
    assert {name for name, _, _ in points} == {
        "critical_rate/eta_c",
        "critical_rate/margin",
        "critical_rate/lambda_c",
        "sharpness/top",
    }
    assert ("sharpness/top", 20, document["sharpness"][1]["top"]) in points
    assert ("critical_rate/eta_c", 10, rates[1]["eta_c"]) in points


class RealSteps(Instrument):
    """Takes the real next step on all train patterns with copies, at given shares of a rate."""

    def __init__(self, monitor: CurvatureMonitor) -> None:
        self.monitor = monitor
        self.rises: list[list[bool]] = []

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        amplitude = trainer.datamodule.train_set.amplitude_nCNN
        rises: list[bool] = []
        for share in (0.5, 0.95, 1.05):
            parts = (pl_module.model, trainer.optimizers[0], pl_module.clipper)
            model, optimizer, clipper = copy.deepcopy(parts)
            losses: list[torch.Tensor] = []
            for _ in range(2):
                optimizer.zero_grad()
                predicted = model(amplitude)
                losses.append(pl_module.objective(predicted, pl_module.predict_amplitude(predicted), amplitude))
                losses[-1].backward()
                clipper(torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm())
                for group in optimizer.param_groups:
                    group["lr"] = share * self.monitor.critical_rates[-1]["eta_c"]
                optimizer.step()
            rises.append(bool(losses[1] > losses[0]))
        self.rises.append(rises)

    def write(self, folder: Path) -> None: ...


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "sgd", "learning_rate": 0.1, "clip_algorithm": "norm", "clip_value": 0.3},
        {"optimizer": "adam", "clip_algorithm": "agc"},
        {"optimizer": "adamw", "weight_decay": 0.1, "clip_algorithm": "value", "clip_value": 1e-3},
    ],
)
def test_a_real_step_beyond_the_critical_rate_raises_the_loss_and_one_below_does_not(
    changes: dict[str, object], tiny, tmp_path: Path
):
    monitor = CurvatureMonitor(1, 0)
    steps = RealSteps(monitor)
    train(tiny(**{"epochs": 4, "batch_size": 128, "scheduler": "Default", **changes}), tmp_path, monitor, steps)
    assert steps.rises == [[False, False, True]] * 4


def test_clipping_is_that_of_the_next_step_and_leaves_no_trace(tiny):
    config = tiny(clip_algorithm="zclip").training
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.randn(5))]
    clipper = build_clipper(config, {"a": parameters[0], "b": parameters[1]}, {"a": 0, "b": None}, [])
    for _ in range(30):
        for p in parameters:
            p.grad = torch.randn_like(p)
        clipper(torch.stack([p.grad.norm() for p in parameters if p.grad is not None]).norm())
    kept = [p.grad for p in parameters]
    state = {name: value.clone() for name, value in clipper.state_dict().items()}
    huge = tuple(100 * torch.randn_like(p) for p in parameters)
    copies = [g.clone() for g in huge]
    found = list(clipped_gradients(clipper, dict(zip(parameters, huge, strict=True))).values())
    assert all(torch.equal(g, c) for g, c in zip(huge, copies, strict=True))
    assert all(p.grad is g for p, g in zip(parameters, kept, strict=True))
    torch.testing.assert_close(clipper.state_dict(), state, rtol=0, atol=0)
    for p, g in zip(parameters, huge, strict=True):
        p.grad = g.clone()
    clipper(torch.stack([g.norm() for g in huge]).norm())
    for p, g in zip(parameters, found, strict=True):
        torch.testing.assert_close(p.grad, g)
    assert found[0].norm() < 0.2 * huge[0].norm()


def test_a_broken_training_is_not_looked_at(tiny, tmp_path: Path):
    config = tiny(learning_rate=1.0, optimizer="sgd", loss="poisson", poisson_eps=1e-30)
    monitor = CurvatureMonitor(1, 1)
    assert train(config, tmp_path / "run", monitor).nonfinite_step is not None
    monitor.write(tmp_path)
    assert monitor.points() == []
    assert not (tmp_path / "curvature.json").exists()
