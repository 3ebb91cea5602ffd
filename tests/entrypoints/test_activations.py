"""The activation report as users call it: a plain command without a store, and `mlflow run`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from ptycho_mlf.config import ModelConfig
from ptycho_mlf.generators import build_generator
from ptycho_mlf.runs.activations import ActivationRequest, report_activations

ROOT = Path(__file__).parents[2]


@pytest.fixture
def files(folder: Path) -> Path:
    """A folder with weights and patterns."""
    settings = ModelConfig(architecture="stable_hybrid", fno_blocks=2, width=4, modes=4, input_transform="log1p")
    torch.save(build_generator(settings, 16, 1, seed=0).state_dict(), folder / "model.pt")
    np.savez(folder / "train.npz", diffraction=np.random.default_rng(0).random((3, 16, 16, 1), np.float32))
    return folder


def run(words: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True, timeout=600)


def test_the_direct_call(files: Path):
    call = (
        "-m entrypoints.activations --input train.npz --output DIR --architecture stable_hybrid --checkpoint model.pt "
        "--batch-size 1 --max-samples 1 --device cpu --output-json-name activation_report_sgd.json"
    )
    done = run([sys.executable, *call.split()], files)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert sorted(path.name for path in files.iterdir()) == ["DIR", "model.pt", "train.npz"]  # No store is made.
    written = sorted(path.name for path in (files / "DIR").iterdir())
    assert written == ["activation_report_sgd.html", "activation_report_sgd.json"]
    document = json.loads((files / "DIR" / "activation_report_sgd.json").read_text())
    assert document["samples"] == 1
    assert document["source"]["fno_blocks"] == 2
    assert "DIR/activation_report_sgd.json" in done.stdout

    refused = run([sys.executable, *call.replace("model.pt", "train.npz").replace("DIR", "OTHER").split()], files)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr.startswith("error: checkpoint=train.npz: ")
    assert len(refused.stderr.splitlines()) == 1
    assert not (files / "OTHER").exists()


def test_mlflow_run_finds_files_where_it_was_started_and_keeps_the_report_in_its_run(files: Path, store: Path):
    overrides = {"architecture": "stable_hybrid"}
    before = ActivationRequest(overrides, checkpoint="model.pt", input="train.npz", output="before")
    report_activations(before)
    given = {
        "checkpoint": "model.pt",
        "input": "train.npz",
        "reference": "before/activation_report.json",
        "output": "DIR",
        **overrides,
        "input_transform": "log1p",  # A configuration parameter that the entry does not declare.
        "batch_size": 2,
    }
    words = [sys.executable, "-m", "mlflow", "run", str(ROOT), "-e", "activations"]
    words += [word for name, value in given.items() for word in ("-P", f"{name}={value}")]
    done = run(words, files, MLFLOW_TRACKING_URI=f"sqlite:///{store}/mlflow.db")
    assert done.returncode == 0, done.stderr
    client = MlflowClient()
    (found,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert found.info.status == "FINISHED"
    kept = {item.path for item in client.list_artifacts(found.info.run_id, "activations")}
    assert kept == {"activations/activation_report.json", "activations/activation_report.html"}
    path = client.download_artifacts(found.info.run_id, "activations/activation_report.json")
    document = json.loads(Path(path).read_text())
    assert document == json.loads((files / "DIR" / "activation_report.json").read_text())
    assert document["source"]["input_transform"] == "log1p"
    assert document["reference"] is not None
