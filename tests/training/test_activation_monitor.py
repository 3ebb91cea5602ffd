"""Activations looked at while a network trains: it trains as if nobody looked, and the report tells what was there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ptycho_mlf.config import RunConfig
from ptycho_mlf.generators import build_generator
from ptycho_mlf.runs.dataset import load_run_data
from ptycho_mlf.runs.instruments import build_instruments
from ptycho_mlf.telemetry.activation_statistics import measure
from ptycho_mlf.training.activation_monitor import ActivationMonitor, spread
from ptycho_mlf.training.fit import TrainingResult, fit, weights_seed


class Silent:
    def steps(self, rows: object) -> None: ...

    def epoch(self, row: object) -> None: ...


def train(config: RunConfig, folder: Path) -> tuple[TrainingResult, list[ActivationMonitor]]:
    data = load_run_data(config)
    monitors = [i for i in build_instruments(config, data, lambda *picture: None) if isinstance(i, ActivationMonitor)]
    result = fit(config, data.train, data.holdout, data.val, folder, Silent(), monitors)
    return result, monitors


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_training_is_bit_for_bit_the_same(precision: str, tiny, tmp_path: Path):
    config = tiny(epochs=3, precision=precision, clip_algorithm="zclip", activation_epochs=1)
    looked, monitors = train(config, tmp_path / "a")
    alone, none = train(config.with_changes(activation_epochs=0), tmp_path / "b")
    assert (len(monitors), len(none)) == (1, 0)
    assert len(monitors[0].snapshots) == 4
    for name, column in alone.trace.columns.items():
        np.testing.assert_array_equal(looked.trace[name], column)
    assert [row.val_loss for row in looked.history] == [row.val_loss for row in alone.history]
    for ours, theirs in zip(looked.generator.parameters(), alone.generator.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_it_looks_before_every_n_epochs_and_at_the_end(tiny, tmp_path: Path):
    config = tiny(epochs=5, activation_epochs=2)
    result, (monitor,) = train(config, tmp_path)
    assert [(s.epoch, s.step) for s in monitor.snapshots] == [(0, 0), (2, 10), (4, 20), (5, 25)]
    data = load_run_data(config)
    val = data.val.amplitude_nCNN[data.holdout.val]
    batch = torch.from_numpy(np.ascontiguousarray(val[spread(len(val), 8)]))
    initial = build_generator(config.model, config.data.N, 1, weights_seed(config))
    for snapshot, generator in ((monitor.snapshots[0], initial), (monitor.snapshots[-1], result.generator)):
        want = measure(generator, [batch])
        assert [layer.name for layer in snapshot.layers] == [layer.name for layer in want]
        for found, layer in zip(snapshot.layers, want, strict=True):
            assert found.rms == pytest.approx(layer.rms, rel=1e-5)
            assert found.p95 == pytest.approx(layer.p95, rel=1e-4, abs=1e-7)

    monitor.write(tmp_path)
    document = json.loads((tmp_path / "activations" / "activation_report.json").read_text())
    assert document["source"]["architecture"] == "hybrid"
    assert document["reference"] == "before training"
    assert {layer["rms_ratio"] for layer in document["snapshots"][0]["layers"]} == {1.0}
    assert (tmp_path / "activations" / "activation_report.html").stat().st_size > 10_000
    assert (tmp_path / "activations.png").read_bytes()[:4] == b"\x89PNG"


def test_a_training_that_breaks_is_looked_at_where_it_broke(tiny, tmp_path: Path):
    config = tiny(
        epochs=3, activation_epochs=100, learning_rate=1.0, optimizer="sgd", loss="poisson", poisson_eps=1e-30
    )
    result, (monitor,) = train(config, tmp_path)
    assert result.nonfinite_step is not None
    first, last = monitor.snapshots
    assert (first.epoch, last.epoch) == (0, 1)
    # The weights stand still from the broken step on, the counter only from the next reading of the device.
    assert last.step is not None
    assert last.step >= len(result.trace)


def test_nothing_is_written_before_the_first_look(tmp_path: Path):
    ActivationMonitor(1, {}).write(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("available", "wanted", "chosen"),
    [(10, 1, [0]), (10, 2, [0, 9]), (9, 3, [0, 4, 8]), (3, 8, [0, 1, 2]), (1, 4, [0])],
)
def test_patterns_are_spread_over_what_there_is(available: int, wanted: int, chosen: list[int]):
    assert spread(available, wanted).tolist() == chosen
