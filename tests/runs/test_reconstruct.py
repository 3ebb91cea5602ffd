"""The networks of runs, models and files of weights applied to scans, in a real store."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from rich.console import Console

from ptycho_mlf.config import InputError, RunConfig
from ptycho_mlf.evaluation.evaluate import evaluate
from ptycho_mlf.evaluation.stitching import stitch
from ptycho_mlf.generators import build_generator
from ptycho_mlf.runs.dataset import load_run_data
from ptycho_mlf.runs.predict import reconstruct
from ptycho_mlf.runs.reconstruct import ReconstructRequest, run_reconstruction
from ptycho_mlf.runs.stage_a import run_stage_a
from ptycho_mlf.tracking.queries import download_artifact
from ptycho_mlf.training.checkpoints import generator_weights


def ask(folder: Path, overrides: dict[str, str] | None = None, **request: Any) -> str:
    """What is printed; the files go to a folder."""
    console = Console(file=io.StringIO(), width=100)
    run_reconstruction(ReconstructRequest(overrides=overrides or {}, output=str(folder), **request), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_a_run_again_gives_its_own_scores_and_other_data_those_of_the_oracle(
    tiny: Callable[..., RunConfig], store: Path
):
    config = tiny(architecture="stable_hybrid", gridsize=2, seed=3)
    run_id = run_stage_a(config).run_id
    said = ask(store / "same", run_id=run_id[:8])
    assert read(store / "same/metrics.json")["best"] == read(download_artifact(run_id, "metrics.json"))["best"]
    assert "same/compare.png" in said
    kept = re.search(rf"run {run_id}: (\S+/{run_id}/artifacts/reconstruction/best-\w+/compare.png)", said)
    assert kept
    assert Path(kept[1]).read_bytes() == (store / "same/compare.png").read_bytes()
    assert "SSIM" in said

    # Other data: the oracle predicts whole patches, stitches and scores them.
    said = ask(store / "other", {"object": "disks", "nphotons": "1e5", "geometry_seed": "7"}, run_id=run_id)
    other = load_run_data(config.with_changes(object="disks", nphotons=1e5, geometry_seed=7)).test
    generator = build_generator(config.model, 16, 4, seed=0).eval()
    generator.load_state_dict(generator_weights(download_artifact(run_id, "checkpoints/best.ckpt")))
    with torch.no_grad():
        patches = generator(torch.from_numpy(np.array(other.amplitude_nCNN))).numpy()
    scores = {k: v for k, v in evaluate(patches, other).metrics.items() if v is not None}
    found = {k: v for k, v in read(store / "other/metrics.json")["best"]["metrics"].items() if v is not None}
    assert found == pytest.approx(scores, rel=1e-6)
    with np.load(store / "other/object.npz") as arrays:
        np.testing.assert_allclose(arrays["object"], stitch(patches, other), atol=1e-6)
        assert arrays["norm_Y"] == pytest.approx(other.truth.norm_Y if other.truth else None)
        row, column = arrays["corner"]
        true = load_run_data(config.with_changes(object="disks", nphotons=1e5, geometry_seed=7)).test.truth
        assert true is not None
        height, width = arrays["truth"].shape
        np.testing.assert_array_equal(arrays["truth"], true.objects_ISS[0, row : row + height, column : column + width])

    # Both lie with the run, beside what it left itself.
    listed = {item.path for item in MlflowClient().list_artifacts(run_id, "reconstruction")}
    folders = {path for path in listed if "." not in path}
    assert len(folders) == 2
    assert {"reconstruction/best.npz", "reconstruction/frc.png"} <= listed
    assert all(
        f"{path}/compare.png" in {i.path for i in MlflowClient().list_artifacts(run_id, path)} for path in folders
    )
    source = read(store / "other/reconstruction.json")
    assert source["network"]["run_id"] == run_id
    assert source["provenance"]["settings"]["object"] == "disks"


def test_a_model_and_a_checkpoint_on_a_file(tiny: Callable[..., RunConfig], store: Path):
    config = tiny(architecture="stable_hybrid")
    run_id = run_stage_a(config).run_id
    test = load_run_data(config).test
    given: dict[str, Any] = {
        "diffraction": np.moveaxis(test.amplitude_nCNN, 1, -1),
        "coords_offsets": test.centres_nC2.transpose(0, 2, 1)[:, None].astype(np.float32),
    }
    np.savez(store / "blind.npz", **given)
    said = ask(store / "blind", model=f"runs:/{run_id}/model", input=str(store / "blind.npz"))
    assert "not known" in said
    assert sorted(p.name for p in (store / "blind").iterdir()) == ["object.npz", "object.png", "reconstruction.json"]
    assert test.truth is not None
    np.savez(store / "known.npz", **given, YY_full=test.truth.objects_ISS[..., None])
    kept = store / "known" / "notes.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    checkpoint = str(download_artifact(run_id, "checkpoints/last.ckpt"))
    for threads in ("1", "2"):  # Twice: the files of the first time are replaced.
        named = {"architecture": "stable_hybrid", "threads": threads, "batch_size": "7"}
        ask(store / "known", named, checkpoint=checkpoint, input=str(store / "known.npz"))
    want = read(download_artifact(run_id, "metrics.json"))["last"]["metrics"]
    found = read(store / "known/metrics.json")["checkpoint"]["metrics"]
    assert {k for k, v in found.items() if v is None} == {k for k, v in want.items() if v is None}
    numbers = {k: v for k, v in want.items() if v is not None}
    assert {k: found[k] for k in numbers} == pytest.approx(numbers, rel=1e-4)
    assert kept.read_text() == "mine"
    assert len(list(kept.parent.iterdir())) == 6


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "name exactly one of them"),
        ({"run_id": "a", "model": "b"}, "name exactly one of them"),
        ({"checkpoint": "none.ckpt", "overrides": {"architecture": "hybrid"}}, "checkpoint=none.ckpt"),
        ({"run_id": "0123456789abcdef0123456789abcdef"}, "0123456789abcdef"),
        ({"checkpoint": "w.pt", "overrides": {"architecture": "hybrid"}, "input": "none.npz"}, "input=none.npz"),
        ({"checkpoint": "w.pt", "overrides": {"architecture": "hybrid"}, "output": "w.pt/in"}, "output=w.pt/in"),
    ],
)
def test_refuses_before_anything_is_written(store: Path, request_: dict[str, Any], message: str):
    (store / "w.pt").write_bytes(b"no weights")
    before = sorted(path.name for path in store.iterdir())
    asked: dict[str, Any] = {"overrides": {}, **request_}
    with pytest.raises(InputError, match=message):
        run_reconstruction(ReconstructRequest(**asked), Console(file=io.StringIO()))
    assert sorted(path.name for path in store.iterdir()) == before


def test_patterns_of_another_size_are_refused(tiny: Callable[..., RunConfig], store: Path):
    config = tiny(N=32)
    torch.save(build_generator(config.model, 32, 1, seed=0).state_dict(), store / "w.pt")
    centres = np.array([[[[11.5], [11.5]]], [[[11.5], [21.5]]]])
    np.savez(store / "scan.npz", diffraction=np.ones((2, 24, 24, 1), np.float32), coords_offsets=centres)
    asked = {"architecture": "hybrid", "N": "32"}
    with pytest.raises(InputError, match=r"patterns of 1 x 24 x 24, but the network takes 1 x 32 x 32"):
        ask(store / "out", asked, checkpoint=str(store / "w.pt"), input=str(store / "scan.npz"))


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_batches_of_any_size_and_the_second_object(tiny: Callable[..., RunConfig], batch_size: int):
    config = tiny(architecture="stable_hybrid", nimgs_test=2, size=48, outer_offset_test=10)
    test = load_run_data(config).test
    generator = build_generator(config.model, 16, 1, seed=0).eval()
    told: list[tuple[int, int]] = []
    found = reconstruct(
        generator, test, "cpu", image=1, batch_size=batch_size, progress=lambda done, total: told.append((done, total))
    )
    with torch.no_grad():
        want = stitch(generator(torch.from_numpy(np.array(test.amplitude_nCNN))).numpy(), test, image=1)
    np.testing.assert_allclose(found, want, atol=1e-6 * np.abs(want).max())
    assert told[-1] == (49, 49)
    rough = reconstruct(generator, test, "cpu", image=1, batch_size=batch_size, precision="bf16")
    assert 0 < np.abs(rough - found).max() < 0.1 * np.abs(found).max()
