"""The activation report of runs, models and files of weights, in a real store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import save_file

from ptycho_mlf.config import InputError, RunConfig
from ptycho_mlf.generators import build_generator
from ptycho_mlf.runs.activations import ActivationRequest, report_activations
from ptycho_mlf.runs.dataset import load_run_data
from ptycho_mlf.runs.stage_a import run_stage_a
from ptycho_mlf.telemetry.activation_statistics import measure
from ptycho_mlf.tracking.queries import download_artifact
from ptycho_mlf.training.activation_monitor import spread
from ptycho_mlf.training.checkpoints import generator_weights
from ptycho_mlf.training.fit import weights_seed


def ask(folder: Path, overrides: dict[str, str] | None = None, **request: Any) -> dict[str, Any]:
    """The report, written to a folder of its own."""
    report_activations(ActivationRequest(overrides=overrides or {}, output=str(folder), **request))
    (document,) = folder.glob("*.json")
    assert document.with_suffix(".html").exists()
    return json.loads(document.read_text())


def rms(document: dict[str, Any]) -> dict[str, float]:
    return {layer["name"]: layer["rms"] for layer in document["snapshots"][-1]["layers"]}


@pytest.fixture
def trained(tiny: Callable[..., RunConfig], store: Path) -> tuple[RunConfig, str]:
    config = tiny(architecture="stable_hybrid", output_mode="amp_phase", activation_epochs=1)
    return config, run_stage_a(config).run_id


def test_a_run_its_model_and_its_checkpoint_give_the_same(trained: tuple[RunConfig, str], store: Path):
    config, run_id = trained
    cache = {"cache_dir": config.execution.cache_dir}
    of_run = ask(store / "run", run_id=run_id, weights="best", max_samples=5)
    assert of_run["source"]["run_id"] == run_id
    assert of_run["samples"] == 5
    assert of_run["snapshots"][0]["step"] is not None

    # The oracle: the layers of the network on the validation patterns, and on those before training.
    data = load_run_data(config)
    val = data.val.amplitude_nCNN[data.holdout.val]
    batch = torch.from_numpy(np.ascontiguousarray(val[spread(len(val), 5)]))
    generator = build_generator(config.model, config.data.N, 1, weights_seed(config))
    initial = measure(generator, [batch])
    checkpoint = download_artifact(run_id, "checkpoints/best.ckpt")
    generator.load_state_dict(generator_weights(checkpoint))
    want = {layer.name: layer.rms for layer in measure(generator, [batch])}
    assert rms(of_run) == pytest.approx(want, rel=1e-5)
    ratios = {layer["name"]: layer["rms_ratio"] for layer in of_run["snapshots"][0]["layers"]}
    assert of_run["reference"] == "before training"
    assert ratios == pytest.approx({layer.name: want[layer.name] / layer.rms for layer in initial}, rel=1e-4)

    model = mlflow.register_model(f"runs:/{run_id}/model", "best-ever")
    MlflowClient().set_registered_model_alias("best-ever", "champion", model.version)
    of_model = ask(store / "model", cache, model="models:/best-ever@champion", max_samples=5)
    assert rms(of_model) == rms(of_run)

    # A file alone: data and what its shapes do not tell are given.
    patterns = store / "train.npz"
    np.savez(patterns, diffraction=batch.permute(0, 2, 3, 1).numpy(), _metadata=np.array(["{}"], object))
    named = {"architecture": "stable_hybrid"}
    weights = store / "weights.pt"
    torch.save(generator_weights(checkpoint), weights)
    of_file = ask(store / "file", named, checkpoint=str(weights), input=str(patterns))
    assert rms(of_file) == pytest.approx(rms(of_run), rel=1e-6)
    assert (of_file["source"]["modes"], of_file["source"]["N"], of_file["source"]["output_mode"]) == (
        4,
        16,
        "amp_phase",
    )
    assert of_file["reference"] is None
    assert "head" in rms(of_file)

    # One pattern at a time: the same moments, and this report as the reference of another.
    small = {**named, "batch_size": "2"}
    again = ask(
        store / "again",
        small,
        checkpoint=str(weights),
        input=str(patterns),
        reference=str(store / "file" / "activation_report.json"),
    )
    assert rms(again) == pytest.approx(rms(of_run), rel=1e-6)
    assert {round(layer["rms_ratio"], 4) for layer in again["snapshots"][0]["layers"]} == {1.0}

    kept = {item.path for item in MlflowClient().list_artifacts(run_id, "activations")}
    live = {"activations/activation_report.json", "activations/activation_report.html"}
    assert kept == live | {"activations/activation_report_best.json", "activations/activation_report_best.html"}
    while_training = json.loads(download_artifact(run_id, "activations/activation_report.json").read_text())
    assert [s["epoch"] for s in while_training["snapshots"]] == [0, 1, 2]
    assert MlflowClient().get_run(run_id).info.status == "FINISHED"


def state() -> dict[str, torch.Tensor]:
    settings = RunConfig.from_flat({"N": 16, "architecture": "hybrid", "fno_blocks": 2, "width": 4, "modes": 4})
    return build_generator(settings.model, 16, 1, seed=0).state_dict()


@pytest.fixture
def patterns(folder: Path) -> str:
    np.savez(folder / "x.npz", diffraction=np.random.default_rng(0).random((4, 16, 16, 1), np.float32))
    return str(folder / "x.npz")


def test_all_forms_of_weights_files_give_the_same(folder: Path, patterns: str):
    weights = state()
    torch.save(weights, folder / "bare.pt")
    torch.save({f"model.{name}": tensor for name, tensor in weights.items()}, folder / "prefixed.pt")
    lightning = {f"model.{name}": tensor for name, tensor in weights.items()} | {"probe": torch.zeros(3)}
    torch.save({"state_dict": lightning, "epoch": 3, "global_step": 17}, folder / "lightning.ckpt")
    torch.save(weights, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / "weights.safetensors")
    found = {
        path.name: ask(folder / f"of-{path.name}", {"architecture": "hybrid"}, checkpoint=str(path), input=patterns)
        for path in [*folder.glob("*.p*t*"), *folder.glob("*.ckpt"), *folder.glob("*.safetensors")]
    }
    assert len(found) == 5
    assert len({json.dumps(document["snapshots"][0]["layers"]) for document in found.values()}) == 1
    assert found["lightning.ckpt"]["snapshots"][0]["step"] == 17
    assert found["bare.pt"]["snapshots"][0]["step"] is None


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("executed"),)


def test_pickled_code_is_refused_and_not_executed(folder: Path, patterns: str):
    torch.save({"state_dict": state(), "extra": Evil()}, folder / "evil.pt")
    np.savez(folder / "evil.npz", diffraction=np.array([Evil()], object))
    refused({"checkpoint": "evil.pt", "input": patterns}, "checkpoint=evil.pt: refused")
    torch.save(state(), folder / "w.pt")
    refused({"checkpoint": "w.pt", "input": "evil.npz"}, "input=evil.npz: no npz file of numbers")
    assert not (folder / "executed").exists()
    torch.load(folder / "evil.pt", weights_only=False)  # It would have worked.
    assert (folder / "executed").exists()


def refused(request: dict[str, Any], message: str, overrides: dict[str, str] | None = None) -> None:
    before = sorted(Path().iterdir())
    given = {"architecture": "hybrid"} if overrides is None else overrides
    with pytest.raises(InputError) as error:
        report_activations(ActivationRequest(overrides=given, **{"output": "out", **request}))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize(
    "content", [b"", b"weights", b"PK\x03\x04broken", b"\x80\x02}q\x00.", bytes(range(256)) * 8, b"\xff" * 9]
)
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_broken_files_are_refused_in_one_line(name: str, content: bytes, folder: Path, patterns: str):
    (folder / name).write_bytes(content)
    refused({"checkpoint": name, "input": patterns}, f"checkpoint={name}: ")


def test_what_does_not_fit_is_refused_in_one_line(folder: Path, patterns: str):
    torch.save(state(), folder / "w.pt")
    torch.save({"a": 1}, folder / "number.pt")
    torch.save([1], folder / "list.pt")
    torch.save({}, folder / "empty.pt")
    np.savez(folder / "other.npz", images=np.zeros((2, 16, 16, 1), np.float32))
    np.savez(folder / "flat.npz", diffraction=np.zeros((2, 16, 8, 1), np.float32))
    np.savez(folder / "nan.npz", diffraction=np.full((2, 16, 16, 1), np.nan, np.float32))
    np.savez(folder / "groups.npz", diffraction=np.zeros((2, 16, 16, 4), np.float32))
    np.save(folder / "array.npy", np.zeros(3))
    weights = {"checkpoint": "w.pt", "input": patterns}
    refused({}, "run_id, checkpoint, model: name exactly one of them")
    refused({"checkpoint": "w.pt", "run_id": "a"}, "run_id, checkpoint, model: name exactly one of them")
    refused(weights, "checkpoint=w.pt: it holds weights alone; name their architecture", overrides={})
    refused(weights, "checkpoint=w.pt: body.0.branch.spectral.weight is missing", {"architecture": "fno"})
    wrong = {"architecture": "hybrid", "modes": "3"}
    refused(
        weights, "checkpoint=w.pt: body.bottleneck.branch.spectral.weight has shape (8, 8, 8, 2), must be (2,", wrong
    )
    refused(weights, "modes=abc: ", {"architecture": "hybrid", "modes": "abc"})
    refused(weights | {"checkpoint": "missing.pt"}, "checkpoint=missing.pt: cannot be read (No such file")
    refused(weights | {"checkpoint": "number.pt"}, "checkpoint=number.pt: it is no state dict: 'a' is a int")
    refused(weights | {"checkpoint": "list.pt"}, "checkpoint=list.pt: it holds a list")
    refused(weights | {"checkpoint": "empty.pt"}, "checkpoint=empty.pt: it holds no weights")
    refused(weights | {"input": "missing.npz"}, "input=missing.npz: cannot be read")
    refused(weights | {"input": "w.pt"}, "input=w.pt: no npz file with the key 'diffraction'")
    refused(weights | {"input": "array.npy"}, "input=array.npy: no npz file")
    refused(weights | {"input": "other.npz"}, "input=other.npz: no npz file with the key 'diffraction' (keys: images)")
    refused(
        weights | {"input": "flat.npz"}, "input=flat.npz: diffraction has shape (2, 16, 8, 1), must be (n, N, N, C)"
    )
    refused(weights | {"input": "nan.npz"}, "input=nan.npz: diffraction must be finite real numbers")
    refused(
        weights | {"input": "groups.npz"}, "input=groups.npz: patterns of (4, 16, 16), but the network takes (1, 16"
    )
    refused(weights | {"reference": "w.pt"}, "reference=w.pt: no activation report")
    refused(weights | {"output_json_name": "../a.json"}, "output_json_name=../a.json: must be a file name")
    refused(weights | {"output_json_name": "a.txt"}, "output_json_name=a.txt: must be a file name")
    refused(weights | {"output": "w.pt"}, "output=w.pt: cannot be written")


def test_what_is_not_in_the_store_is_refused_in_one_line(store: Path):
    refused({"run_id": "0" * 32}, f"run {'0' * 32}: there is none")
    refused({"model": "models:/nobody@champion"}, "model=models:/nobody@champion: there is none")
    refused({"model": f"runs:/{'0' * 32}/model"}, f"model=runs:/{'0' * 32}/model: there is none")
