"""Real trainings, watched: what is planted is named, and watching changes nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import lightning as L
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from matplotlib.image import imread

from ptycho_mlf.config import RunConfig
from ptycho_mlf.runs.dataset import load_run_data
from ptycho_mlf.training.fit import TrainingResult, fit
from ptycho_mlf.training.gradient_monitor import GradientMonitor

COLLAPSE = {"optimizer": "sgd", "epochs": 8}


class Silent:
    def steps(self, rows: object) -> None: ...

    def epoch(self, row: object) -> None: ...


def train(config: RunConfig, folder: Path, *instruments: Any, plant: Any = None) -> TrainingResult:
    data = load_run_data(config)
    scan = data.train if plant is None else plant(data.train)
    result = fit(config, scan, data.holdout, data.val, folder / "checkpoints", Silent(), instruments)
    for instrument in instruments:
        if isinstance(instrument, GradientMonitor):
            instrument.write(folder)
    return result


def strict(path: Path, schema: str) -> dict[str, Any]:
    """JSON without NaN that its schema in the package accepts."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in {path.name}")

    document = json.loads(path.read_text(), parse_constant=refuse)
    described = json.loads(files("ptycho_mlf.telemetry").joinpath(f"schemas/{schema}.schema.json").read_text())
    jsonschema.Draft202012Validator(described).validate(document)
    return document


def onset(folder: Path) -> dict[str, Any]:
    return strict(folder / "gradients" / "onset.json", "onset")


class Witness(L.Callback):
    """Copies what the statistics are about, in float64."""

    def __init__(self) -> None:
        self.steps: list[dict[str, dict[str, np.ndarray]]] = []

    def on_train_batch_start(self, trainer, pl_module, *args) -> None:
        self.steps.append({"before": self._weights(pl_module)})

    def on_after_backward(self, trainer, pl_module) -> None:
        self.steps[-1]["gradient"] = self._gradients(pl_module)

    def on_train_batch_end(self, trainer, pl_module, *args) -> None:
        self.steps[-1]["clipped"] = self._gradients(pl_module)
        self.steps[-1]["after"] = self._weights(pl_module)

    @staticmethod
    def _weights(module) -> dict[str, np.ndarray]:
        return {name: p.detach().double().numpy().copy() for name, p in module.model.named_parameters()}

    @staticmethod
    def _gradients(module) -> dict[str, np.ndarray]:
        return {name: p.grad.double().numpy().copy() for name, p in module.model.named_parameters()}


class Scale(L.Callback):
    """Multiplies the gradient of one layer's weight from a step on."""

    def __init__(self, name: str, step: int, factor: float) -> None:
        self.name, self.step, self.factor = name, step, factor

    def on_train_batch_start(self, trainer, pl_module, *args) -> None:
        if pl_module.steps_taken == self.step:
            weight = dict(pl_module.model.named_parameters())[self.name]
            weight.register_hook(lambda gradient: gradient * self.factor)


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adamw", "weight_decay": 0.1, "decay_exclude_1d": True, "clip_algorithm": "value"},
        {"optimizer": "sgd", "learning_rate": 1e-2, "clip_algorithm": "agc", "clip_value": 0.1},
    ],
    ids=["adamw", "sgd"],
)
def test_every_number_against_copies_of_the_tensors(settings, tiny, tmp_path):
    config = tiny(**{"clip_value": 1e-3, **settings}, epochs=3, update_stride=1)
    witness = Witness()
    train(config, tmp_path, witness, GradientMonitor(3, postmortem=False))
    table = pq.read_table(tmp_path / "gradients" / "gradients.parquet").to_pandas()
    assert sorted(set(table["step"])) == [0, 3, 6, 9, 12]
    layers = list(dict.fromkeys(table["layer"]))
    assert len(layers) == 13
    assert layers[:2] == ["lifter.lift", "lifter.mix"]
    # The way down to a level comes before the level, though it is declared after all of them.
    assert layers.index("body.down.0") < layers.index("body.encoder.1.branch.spectral")
    assert layers[-1] == "head.projection"
    for row in table.itertuples():
        seen = witness.steps[row.step]
        names = [name for name in seen["before"] if name.rpartition(".")[0] == row.layer]

        def size(what: str, seen=seen, names=names) -> float:
            return np.sqrt(sum(np.square(seen[what][name]).sum() for name in names))

        moved = np.sqrt(sum(np.square(seen["after"][name] - seen["before"][name]).sum() for name in names))
        assert row.grad_norm == pytest.approx(size("gradient"), rel=1e-5)
        assert row.weight_norm == pytest.approx(size("before"), rel=1e-5)
        assert row.update_ratio == pytest.approx(moved / size("before"), rel=2e-3)
        assert row.clip_scale == pytest.approx(size("clipped") / size("gradient"), rel=1e-5)
    report = strict(tmp_path / "gradients" / "gradient_report.json", "gradient_report")
    assert [layer["name"] for layer in report["layers"]] == layers
    by_layer = table.groupby("layer", observed=True)
    for layer in report["layers"]:
        rows = by_layer.get_group(layer["name"])
        assert layer["grad_norm"]["median"] == pytest.approx(rows["grad_norm"].median(), rel=1e-5)
        assert layer["grad_norm"]["step_of_max"] == rows["step"].to_numpy()[rows["grad_norm"].argmax()]
        assert layer["clipping"]["fraction"] == pytest.approx((rows["clip_scale"] < 0.99999).mean(), rel=1e-5)
        last = np.concatenate([g.ravel() for n, g in witness.steps[-1]["gradient"].items() if _is_of(n, layer)])
        counts = layer["histograms"]["gradient"]
        assert counts["zeros"] == (last == 0).sum()
        above = sum(counts["counts"][k] for k in range(len(counts["counts"])) if counts["first_exponent"] + k >= -10)
        assert above == (np.abs(last) >= 2.0**-10).sum()
        assert sum(layer["histograms"]["weight"]["counts"]) <= layer["numbers"] == last.size
    assert max(layer["clipping"]["fraction"] for layer in report["layers"]) > 0.5
    assert not (tmp_path / "postmortem.html").exists()


def _is_of(parameter: str, layer: dict[str, Any]) -> bool:
    return parameter.rpartition(".")[0] == layer["name"]


def test_watching_changes_no_bit(tiny, tmp_path):
    plain = train(tiny(epochs=3), tmp_path / "plain")
    watched = train(tiny(epochs=3), tmp_path / "watched", GradientMonitor(2, postmortem=True))
    for column in plain.trace.columns:
        np.testing.assert_array_equal(plain.trace[column], watched.trace[column], err_msg=column)
    for a, b in zip(plain.generator.parameters(), watched.generator.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_healthy_training_leaves_a_report_and_no_postmortem(tiny, tmp_path):
    train(tiny(architecture="ffno", epochs=2), tmp_path, GradientMonitor(1, postmortem=True))
    written = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if "checkpoints" not in p.parts}
    names = {"gradient_report.json", "gradient_report.html", "gradients.parquet"}
    assert written == {"gradients.png", "gradients", *(f"gradients/{name}" for name in names)}
    assert imread(tmp_path / "gradients.png").shape[1] > 1000
    assert_self_contained(tmp_path / "gradients" / "gradient_report.html")


def test_an_exploding_layer_is_named_and_so_is_the_step(tiny, tmp_path):
    config = tiny(optimizer="sgd", learning_rate=0.03, epochs=16)
    explode = Scale("body.encoder.1.branch.local.weight", 60, 1e6)
    result = train(config, tmp_path, explode, GradientMonitor(10, postmortem=True))
    found = onset(tmp_path)
    first = found["first_moves"][0]
    assert (first["layer"], first["quantity"], first["step"]) == ("body.encoder.1.branch.local", "grad_norm", 60)
    assert first["factor"] > 1e5
    assert found["kind"] == "nonfinite"
    assert found["nonfinite_step"] == result.nonfinite_step
    assert 60 <= found["step"] <= 64
    assert "body.encoder.1.branch.local moved first: at step 60 its gradient norm" in found["sentence"]
    assert found["steps"][-1] == result.nonfinite_step
    assert found["loss_trace"][-1] is None or found["grad_norm"][-1][0] is None
    assert found["gradient_histograms"]["before"]["step"] < found["step"]
    page = (tmp_path / "postmortem.html").read_text()
    assert "body.encoder.1.branch.local" in page
    assert_self_contained(tmp_path / "postmortem.html")


def test_a_bad_batch_is_named_with_its_pattern(tiny, tmp_path):
    def plant(scan):
        amplitude = scan.amplitude_nCNN.copy()
        amplitude[37] *= 1e6
        return replace(scan, amplitude_nCNN=amplitude)

    config = tiny(batch_size=4, epochs=6)
    data = load_run_data(config)
    assert 37 in data.holdout.train
    result = train(config, tmp_path, GradientMonitor(0, postmortem=True), plant=plant)
    found = onset(tmp_path)
    assert found["kind"] == "spike"
    assert 37 in found["batch"]["patterns"]
    assert found["batch"]["unusual_patterns"] == [37]
    assert found["batch"]["epoch"] == 1 + found["step"] // 18
    assert found["batch"]["batch"] == found["step"] % 18
    assert found["loss"] == pytest.approx(result.trace["loss"][found["step"]], rel=1e-5)
    assert "Pattern 37 of this batch" in found["sentence"]
    assert not (tmp_path / "gradients.png").exists()


@pytest.mark.parametrize("rate", [30.0, 3.0])
def test_a_forced_collapse_has_an_onset_near_the_jump(rate, tiny, tmp_path):
    result = train(tiny(**COLLAPSE, learning_rate=rate), tmp_path, GradientMonitor(10, postmortem=True))
    losses = result.trace["loss"]
    jump = int(np.flatnonzero(losses > 2 * losses[0])[0])
    found = onset(tmp_path)
    assert abs(found["step"] - jump) <= 2 * 5
    assert found["first_moves"]
    report = strict(tmp_path / "gradients" / "gradient_report.json", "gradient_report")
    assert report["last_step"] == result.nonfinite_step


def test_layers_that_get_no_gradient_any_more_are_named(tiny, tmp_path):
    train(tiny(epochs=4), tmp_path, Scale("body.decoder.0.merge.weight", 11, 0.0), GradientMonitor(2, postmortem=False))
    report = strict(tmp_path / "gradients" / "gradient_report.json", "gradient_report")
    assert report["no_gradient"] == []  # The layer's bias still has one.
    cut = [Scale(f"body.decoder.0.merge.{name}", 11, 0.0) for name in ("weight", "bias")]
    train(tiny(epochs=4), tmp_path, *cut, GradientMonitor(2, postmortem=False))
    report = strict(tmp_path / "gradients" / "gradient_report.json", "gradient_report")
    assert report["no_gradient"] == [{"layer": "body.decoder.0.merge", "since_step": 12}]
    assert "1 of 13 layers have no gradient" in (tmp_path / "gradients" / "gradient_report.html").read_text()


def test_a_training_that_breaks_off_leaves_what_was_seen(tiny, tmp_path):
    class Break(L.Callback):
        def on_train_batch_start(self, trainer, pl_module, *args) -> None:
            if pl_module.steps_taken == 7:
                raise RuntimeError("broken off")

    monitor = GradientMonitor(1, postmortem=True)
    monitor.write(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RuntimeError, match="broken off"):
        train(tiny(), tmp_path, Break(), monitor)
    monitor.write(tmp_path)
    assert strict(tmp_path / "gradients" / "gradient_report.json", "gradient_report")["recorded_steps"] == 7


def test_the_ring_is_bounded_and_the_table_keeps_its_stride(tiny, tmp_path):
    monitor = GradientMonitor(7, postmortem=True)
    train(tiny(batch_size=1, epochs=6), tmp_path, monitor)
    assert len(monitor._ring[0]) == 300
    steps = pq.read_table(tmp_path / "gradients" / "gradients.parquet")["step"].to_numpy()
    np.testing.assert_array_equal(np.unique(steps), np.arange(0, 432, 7))


def assert_self_contained(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"(src|href)=\"(?!data:)|<script|@import|url\(", text)
    assert text.count("data:image/png;base64,") >= 2
