"""Reconstruction as users call it: a plain command without a store, and `mlflow run`."""

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

ROOT = Path(__file__).parents[2]


@pytest.fixture
def files(folder: Path) -> Path:
    """A folder with weights and a scan."""
    settings = ModelConfig(architecture="stable_hybrid", fno_blocks=2, width=4, modes=4)
    torch.save(build_generator(settings, 16, 1, seed=0).state_dict(), folder / "model.pt")
    random = np.random.default_rng(0)
    centres = 7.5 + 5 * np.argwhere(np.ones((4, 5)))
    objects = 1 + random.random((1, 40, 40, 1)) * (1 + 1j)
    patterns = random.random((20, 16, 16, 1), np.float32)
    np.savez(folder / "test.npz", diffraction=patterns, coords_offsets=centres[:, None, :, None], YY_full=objects)
    return folder


def run(words: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True, timeout=300)


def test_the_direct_call(files: Path):
    call = "-m entrypoints.reconstruct --input test.npz --output DIR --architecture stable_hybrid --checkpoint model.pt"
    done = run([sys.executable, *call.split(), "--device", "cpu"], files)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert sorted(path.name for path in files.iterdir()) == ["DIR", "model.pt", "test.npz"]  # No store is made.
    left = sorted(path.name for path in (files / "DIR").iterdir())
    assert left == ["compare.png", "frc.png", "metrics.json", "object.npz", "reconstruction.json"]
    assert "DIR/compare.png" in done.stdout
    assert len(done.stdout.splitlines()) < 24
    assert np.load(files / "DIR/object.npz")["object"].shape == (20, 25)

    refused = run([sys.executable, *call.replace("model.pt", "test.npz").replace("DIR", "OTHER").split()], files)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("error: checkpoint=test.npz: ")
    assert len(refused.stderr.splitlines()) == 1
    assert not (files / "OTHER").exists()


def test_help_is_light(folder: Path):
    code = (
        "import sys; sys.argv = ['reconstruct', '--help']\n"
        "from entrypoints.reconstruct import reconstruct\n"
        "try: reconstruct()\n"
        "finally: print({'torch', 'mlflow', 'numpy', 'rich'} & sys.modules.keys(), file=sys.stderr)"
    )
    done = run([sys.executable, "-c", code], folder)
    assert done.stderr.strip() == "set()"
    for word in ("--run-id", "--run_id", "--nphotons", "--threads"):
        assert word in done.stdout


def test_mlflow_run_finds_files_where_it_was_started_and_keeps_what_it_made(files: Path, store: Path):
    given = {"checkpoint": "model.pt", "input": "test.npz", "architecture": "stable_hybrid", "threads": 1}
    words = [sys.executable, "-m", "mlflow", "run", str(ROOT), "-e", "reconstruct"]
    words += [word for name, value in given.items() for word in ("-P", f"{name}={value}")]
    done = run(words, files, MLFLOW_TRACKING_URI=f"sqlite:///{store}/mlflow.db")
    assert done.returncode == 0, done.stderr
    client = MlflowClient()
    (found,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert found.info.status == "FINISHED"
    (kept,) = client.list_artifacts(found.info.run_id, "reconstruction")
    path = client.download_artifacts(found.info.run_id, f"{kept.path}/metrics.json")
    assert json.loads(Path(path).read_text())["checkpoint"]["metrics"]["mae_amp"] > 0
