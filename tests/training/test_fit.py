"""Real trainings, the smallest there are: reproducible, and every rule in force where it counts."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from ptycho_mlf.config import InputError, RunConfig
from ptycho_mlf.generators import build_generator
from ptycho_mlf.runs.dataset import RunData, load_run_data
from ptycho_mlf.telemetry.trace import Rows
from ptycho_mlf.training.checkpoints import generator_weights
from ptycho_mlf.training.fit import TrainingResult, fit, weights_seed
from ptycho_mlf.training.recorder import EpochRow


class Notes:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.rows: list[Rows] = []
        self.epochs = []

    def steps(self, rows: Rows) -> None:
        self.rows.append(rows)

    def epoch(self, row) -> None:
        self.epochs.append(row)


def train(config: RunConfig, folder: Path) -> TrainingResult:
    data = load_run_data(config)
    return fit(config, data.train, data.holdout, data.val, folder, Notes())


def weights(result: TrainingResult) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in result.generator.parameters()])


def test_the_same_settings_give_the_same_trace_bit_by_bit(tiny, tmp_path):
    first, second = (train(tiny(clip_algorithm="zclip"), tmp_path / name) for name in "ab")
    for column in first.trace.columns:
        np.testing.assert_array_equal(first.trace[column], second.trace[column], err_msg=column)
    assert torch.equal(weights(first), weights(second))
    assert len(first.trace) == 10


def test_seed_streams_do_not_interact(tiny, tmp_path):
    """The seed drives weights and order; with seed_scope=weights it leaves the order alone."""
    start = {seed: build_generator(tiny().model, 16, 1, weights_seed(tiny(seed=seed))).state_dict() for seed in (1, 2)}
    assert any(not torch.equal(start[1][name], start[2][name]) for name in start[1])
    traces = {
        (seed, scope): train(tiny(seed=seed, seed_scope=scope, learning_rate=1e-12), tmp_path / f"{seed}{scope}").trace
        for seed in (1, 2)
        for scope in ("all", "weights")
    }
    # At a vanishing rate the loss of a step tells which patterns were in its batch; the same weights, another order.
    assert not np.allclose(traces[1, "all"]["loss"], traces[1, "weights"]["loss"], rtol=1e-4)
    before = np.random.get_state()[1].copy(), torch.random.get_rng_state()
    train(tiny(epochs=1), tmp_path / "global")
    assert np.array_equal(before[0], np.random.get_state()[1])
    assert torch.equal(before[1], torch.random.get_rng_state())


def test_the_rate_of_every_step_is_the_schedule_and_moves_the_weights(tiny, tmp_path):
    config = tiny(epochs=4, lr_warmup_epochs=1)
    result = train(config, tmp_path)
    u = np.arange(20) / 5
    peak, low = 3e-3, 1.5e-4
    expected = np.where(u < 1, peak * (0.1 + 0.9 * u), low + (peak - low) * (1 + np.cos(np.pi * (u - 1) / 3)) / 2)
    np.testing.assert_allclose(result.trace["lr"], expected, rtol=1e-12)
    ratio = result.trace["update_ratio"]
    # Adam's step is proportional to the rate: the first epoch's warm-up shows in the weights.
    assert ratio[4] > 4 * ratio[0]
    assert [row.lr_end for row in result.history] == [result.trace["lr"][k] for k in (4, 9, 14, 19)]


def test_plain_sgd_moves_by_rate_times_gradient(tiny, tmp_path):
    """The rate that is logged is the rate that acts: |dw| = lr * |g| with plain SGD, and the clip is in between."""
    settings = {
        "optimizer": "sgd",
        "momentum": 0.0,
        "clip_algorithm": "norm",
        "clip_value": 0.1,
        "epochs": 2,
        "update_stride": 1,
    }
    config = tiny(**settings)
    result = train(config, tmp_path)
    trace = result.trace
    assert (trace["grad_norm_preclip"] > 0.1).all()
    np.testing.assert_allclose(trace["grad_norm_postclip"], 0.1, rtol=1e-5)
    size = torch.cat(
        [p.flatten() for p in build_generator(config.model, 16, 1, weights_seed(config)).parameters()]
    ).norm()
    np.testing.assert_allclose(trace["update_ratio"] * size.item(), trace["lr"] * 0.1, rtol=1e-3)


def test_a_plateau_reads_the_validation_loss(tiny, tmp_path):
    """At a rate too small to improve anything in single precision every epoch is a bad one after the first."""
    config = tiny(scheduler="ReduceLROnPlateau", learning_rate=1e-12, plateau_min_lr=0.0, epochs=6)
    result = train(config, tmp_path)
    by_epoch = result.trace["lr"].reshape(6, 5)
    assert (by_epoch == by_epoch[:, :1]).all()
    best, bad, rate = math.inf, 0, 1e-12
    for row, used in zip(result.history, by_epoch[:, 0], strict=True):
        assert used == rate
        best, bad = (row.val_loss, 0) if row.val_loss < best else (best, bad + 1)
        if bad > 2:
            rate, bad = rate / 2, 0


def test_a_schedule_not_in_force_leaves_the_rate_alone(tiny, tmp_path):
    assert set(train(tiny(schedule_in_force=False), tmp_path).trace["lr"]) == {3e-3}


def test_validation_is_the_weighted_mean_of_batch_losses(tiny, tmp_path):
    """Against numpy float64, on the generator's own prediction."""
    config = tiny(val_fraction=0.5)
    data = load_run_data(config)
    result = fit(config, data.train, data.holdout, data.val, tmp_path, Notes())
    X = data.train.amplitude_nCNN[data.holdout.val].astype(float)
    assert len(X) % 16
    with torch.no_grad():
        objects = result.generator(torch.from_numpy(X).float()).numpy().astype(complex)
    A = np.abs(np.fft.fftshift(np.fft.fft2(objects * data.train.probe_PNN[0]), axes=(-2, -1))) / 16
    batches = [slice(k, k + 16) for k in range(0, len(X), 16)]
    losses = [np.abs(A[b] - X[b]).mean() / (X[b].mean() + 1e-8) for b in batches]
    expected = np.average(losses, weights=[len(X[b]) for b in batches])
    assert result.last.loss == pytest.approx(expected, rel=1e-5)
    assert result.history[-1].val_loss == result.last.loss


def test_the_train_loss_of_an_epoch_weighs_the_partial_batch(tiny, tmp_path):
    result = train(tiny(), tmp_path)
    for row, losses in zip(result.history, result.trace["loss"].reshape(2, 5), strict=True):
        assert row.train_loss == pytest.approx(np.average(losses, weights=[16, 16, 16, 16, 8]))


def test_best_and_last_weights_are_kept(tiny, tmp_path):
    result = train(tiny(learning_rate=3e-2, epochs=4), tmp_path)
    last = generator_weights(tmp_path / "last.ckpt")
    for name, weight in result.generator.state_dict().items():
        assert torch.equal(weight, last[name])
    losses = [row.val_loss for row in result.history]
    assert result.best_epoch == 1 + losses.index(min(losses))
    assert generator_weights(tmp_path / "best.ckpt").keys() == last.keys()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.ckpt", "last.ckpt"]


def test_a_nonfinite_step_freezes_the_weights_and_ends_the_training(tiny, tmp_path):
    config = tiny(optimizer="sgd", learning_rate=1e5, epochs=50)
    result = train(config, tmp_path)
    assert result.nonfinite_step is not None
    assert result.nonfinite_step < 100
    assert result.trace["step"].tolist() == list(range(result.nonfinite_step + 1))
    assert torch.isfinite(weights(result)).all()
    assert len(result.history) < 50


def test_the_gain_of_the_earlier_study_multiplies_the_amplitude(tiny, tmp_path):
    """At a vanishing rate: loss of (16 A - X) for full batches, of (8 A - X) for the last one."""
    config = tiny(physics_gain="batch_size", learning_rate=1e-12, epochs=1)
    data: RunData = load_run_data(config)
    result = fit(config, data.train, data.holdout, data.val, tmp_path, Notes())
    X = data.train.amplitude_nCNN[data.holdout.val].astype(float)
    with torch.no_grad():
        objects = result.generator(torch.from_numpy(X).float()).numpy().astype(complex)
    A = np.abs(np.fft.fftshift(np.fft.fft2(objects * data.train.probe_PNN[0]), axes=(-2, -1))) / 16
    expected = np.abs(len(X) * A - X).mean() / X.mean()
    assert len(X) == 9
    assert result.last.loss == pytest.approx(expected, rel=1e-4)


def test_cuda_without_a_device_is_refused(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="accelerator=cuda"):
        train(tiny(accelerator="cuda"), tmp_path)


def test_rows_of_history_are_plain_numbers(tiny, tmp_path):
    for row in train(tiny(output_mode="amp_phase"), tmp_path).history:
        document = asdict(row)
        numbers = [*document.pop("dead_channels").values(), *document.values()]
        assert all(isinstance(value, int | float) for value in numbers)
        assert 0 <= row.head_saturation <= 1


def test_a_training_can_be_given_up_after_an_epoch(tiny, tmp_path):
    """The epochs before are those of the whole training, and the last weights are kept."""
    data = load_run_data(tiny(epochs=4))
    parts = (data.train, data.holdout, data.val)
    asked: list[int] = []

    def second(row: EpochRow) -> bool:
        asked.append(row.epoch)
        return row.epoch == 2

    whole = fit(tiny(epochs=4), *parts, tmp_path / "whole", Notes(), prune=lambda row: row.epoch == 4)
    cut = fit(tiny(epochs=4), *parts, tmp_path / "cut", Notes(), prune=second)
    assert (whole.pruned, cut.pruned, cut.stopped_early) == (False, True, False)
    assert asked == [1, 2]
    assert [row.val_loss for row in cut.history] == [row.val_loss for row in whole.history[:2]]
    assert (tmp_path / "cut" / "last.ckpt").exists()
    assert len(cut.trace) == 10


def test_the_update_is_measured_at_its_stride_and_changes_nothing(tiny, tmp_path):
    every, some = (
        train(tiny(update_stride=k, gradient_stride=g), tmp_path / str(k)).trace for k, g in ((1, 0), (4, 5))
    )
    measured = np.isin(some["step"], [0, 4, 5, 8])
    assert np.isnan(some["update_ratio"][~measured]).all()
    for column in every.columns:
        known = measured if column == "update_ratio" else slice(None)
        np.testing.assert_array_equal(some[column][known], every[column][known], err_msg=column)
