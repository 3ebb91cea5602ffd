"""A replay is the training over again: same bits, same tensors as a witness of the training itself copied."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch

from ptycho_mlf.config import RunConfig
from ptycho_mlf.runs.dataset import load_run_data
from ptycho_mlf.telemetry.trace import Rows
from ptycho_mlf.training.fit import TrainingResult, fit
from ptycho_mlf.training.onset_checkpoints import OnsetCheckpoints
from ptycho_mlf.training.replay import Replayed, replay

STEPS = 5
"""Of an epoch."""
LATE = {"optimizer": "sgd", "learning_rate": 1.0, "scheduler": "WarmupCosine", "lr_warmup_epochs": 10, "epochs": 12}
"""The warm-up passes the stable rates in the seventh epoch."""


class Silent:
    def steps(self, rows: object) -> None: ...

    def epoch(self, row: object) -> None: ...


class EveryEpoch(L.Callback):
    """Keeps last.ckpt of every epoch, and copies the tensors of one step."""

    def __init__(self, folder: Path, step: int) -> None:
        self.folder, self.step = folder, step
        self.seen: dict[str, dict[str, torch.Tensor]] = {}

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        if pl_module.steps_taken == self.step:
            self.seen["weight"] = {name: p.detach().clone() for name, p in pl_module.model.named_parameters()}

    def on_after_backward(self, trainer: Any, pl_module: Any) -> None:
        if pl_module.steps_taken == self.step:
            self.seen["gradient"] = {name: p.grad.clone() for name, p in pl_module.model.named_parameters()}

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        if pl_module.steps_taken == self.step + 1:
            self.seen["after"] = {name: p.detach().clone() for name, p in pl_module.model.named_parameters()}

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if pl_module.trace.nonfinite_step is None:
            copy = self.folder / f"{trainer.current_epoch + 1}.ckpt"
            shutil.copy(self.folder / "checkpoints" / "last.ckpt", copy)


def train(config: RunConfig, folder: Path, *callbacks: L.Callback) -> TrainingResult:
    data = load_run_data(config)
    return fit(config, data.train, data.holdout, data.val, folder / "checkpoints", Silent(), callbacks)


def again(config: RunConfig, start: Path | None, step: int) -> Replayed:
    data = load_run_data(config)
    return replay(config, data.train, data.holdout, data.val, start, step)


def assert_same(trained: Rows, replayed: Rows, first: int, last: int) -> None:
    assert replayed["step"].tolist() == list(range(first, last + 1))
    for name, values in replayed.columns.items():
        np.testing.assert_array_equal(values, trained[name][first : last + 1], err_msg=name)


@pytest.mark.parametrize(
    "settings",
    [
        {"clip_algorithm": "zclip", "clip_value": 0.3, "scheduler": "WarmupCosine", "epochs": 8},
        {"optimizer": "sgd", "scheduler": "ReduceLROnPlateau", "plateau_patience": 0, "learning_rate": 0.3},
        {"optimizer": "adamw", "weight_decay": 0.1, "clip_algorithm": "agc", "scheduler": "Exponential", "gridsize": 2},
        {"architecture": "stable_hybrid", "precision": "bf16", "loss": "supervised"},
    ],
    ids=["zclip", "plateau", "agc", "bf16"],
)
def test_every_kind_of_state_is_taken_up_again(settings: dict, tiny: Any, tmp_path: Path):
    config = tiny(**{"epochs": 7, **settings})
    result = train(config, tmp_path, EveryEpoch(tmp_path, 0))
    batches = len(result.trace) // config.training.epochs
    step = 6 * batches + 2  # Past the 25 steps that zclip collects, and an epoch past the checkpoint.
    found = again(config, tmp_path / "5.ckpt", step)
    assert_same(result.trace, found.rows, 5 * batches, step)
    assert_same(result.trace, again(config, None, 3).rows, 0, 3)


def test_the_tensors_are_those_of_the_training(tiny: Any, tmp_path: Path):
    config = tiny(**LATE, clip_algorithm="norm", clip_value=0.1)
    keeper = EveryEpoch(tmp_path, 23)
    result = train(config, tmp_path, keeper)
    found = again(config, tmp_path / "4.ckpt", 23).moment
    assert keeper.seen["gradient"].keys() == found.gradients.keys()
    for name, gradient in keeper.seen["gradient"].items():
        assert torch.equal(found.gradients[name], gradient)
        assert torch.equal(found.weights[name], keeper.seen["weight"][name])
        assert torch.equal(found.updates[name], keeper.seen["after"][name] - keeper.seen["weight"][name])
    squares = sum(np.square(g.double().numpy()).sum() for g in found.gradients.values())
    assert np.sqrt(squares) == pytest.approx(result.trace["grad_norm_preclip"][23], rel=1e-6)
    assert np.hypot.reduce(list(found.postclip_norms.values())) == pytest.approx(0.1, rel=1e-5)
    assert found.errors().mean() == pytest.approx(result.trace["loss"][23], rel=1e-6)
    assert found.lr == result.trace["lr"][23]
    assert (found.epoch, found.batch, found.schedule["last_epoch"]) == (5, 3, 23)
    amplitude = load_run_data(config).train.amplitude_nCNN[found.patterns]
    np.testing.assert_array_equal(found.amplitude, amplitude)


def test_a_late_onset_is_reached_from_a_checkpoint_close_before(tiny: Any, tmp_path: Path):
    config = tiny(**LATE)
    kept = OnsetCheckpoints(tmp_path / "checkpoints" / "last.ckpt", tmp_path / "kept")
    result = train(config, tmp_path, kept)
    event = kept.event
    assert event is not None
    assert event.step > 4 * STEPS
    start = kept.start(event.step)
    assert start is not None
    found = again(config, start, event.step)
    assert_same(result.trace, found.rows, (event.step - 1) // STEPS * STEPS, event.step)
    assert found.before is not None
    assert found.before.step == event.step - 1


def test_whatever_becomes_the_worst_event_can_be_reached_with_four_copies(tmp_path: Path):
    (tmp_path / "last.ckpt").write_text("weights")
    losses = 1 + 0.01 * np.random.default_rng(0).normal(size=500)
    losses[[72, 201, 260, 262, 300, 303]] = [6, 3, 5, 4, 5, 30]
    kept = OnsetCheckpoints(tmp_path / "last.ckpt", tmp_path / "kept")
    worst: list[int] = []
    for steps in range(STEPS, 501, STEPS):
        kept.look(Rows({"step": np.arange(steps), "loss": losses[:steps]}), STEPS, None)
        assert len(list((tmp_path / "kept").iterdir())) <= 4
        if kept.event is not None:
            step = kept.event.step
            start = kept.start(step)
            assert start is not None
            assert int(start.stem) == (step - 1) // STEPS * STEPS
            worst.append(step)
    # The event of step 260 goes on to step 303, where it becomes the worst: its start is long past by then.
    assert list(dict.fromkeys(worst)) == [72, 260]
    assert kept.event is not None
    assert kept.event.last_step == 303


def test_an_unknown_step_is_no_replay(tiny: Any):
    with pytest.raises(ValueError, match="step 99 is not part"):
        again(tiny(), None, 99)
