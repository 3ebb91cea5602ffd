"""Paths are read from where the command was started, which under `mlflow run` is not the process's own folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ptycho_mlf.config import RunConfig
from ptycho_mlf.launch import LAUNCHED_FROM, launch_folder, user_path
from ptycho_mlf.runs.dataset import load_run_data
from ptycho_mlf.simulation.cache import cache_folder
from ptycho_mlf.simulation.measured_probe import read_probe
from ptycho_mlf.studies.arms import find_arms


@pytest.fixture(params=["direct", "mlflow run"])
def here(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user stands: the working folder, or another one than that."""
    project, user = tmp_path / "project", tmp_path / "user"
    project.mkdir()
    user.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    if request.param == "direct":
        monkeypatch.delenv(LAUNCHED_FROM, raising=False)
        monkeypatch.chdir(user)
    else:
        monkeypatch.setenv(LAUNCHED_FROM, str(user))
        monkeypatch.chdir(project)
    return user


def test_relative_absolute_and_home(here: Path, tmp_path: Path):
    assert launch_folder().absolute() == here
    assert user_path("a/b.npz").absolute() == here / "a" / "b.npz"
    assert user_path("/a/b.npz") == Path("/a/b.npz")
    assert user_path("~/b.npz") == tmp_path / "home" / "b.npz"
    assert user_path("~nobody-of-this-name/b").absolute() == here / "~nobody-of-this-name" / "b"


def test_the_files_that_parameters_name(here: Path, tiny: Callable[..., RunConfig], tmp_path: Path):
    probe = np.exp(1j * np.linspace(0, 1, 256)).reshape(16, 16)
    np.save(here / "probe.npy", probe)
    np.testing.assert_array_equal(read_probe("probe.npy"), probe)
    config = tiny(probe="probe.npy", cache_dir="cache")
    assert config.fingerprint() == tiny(probe=str(here / "probe.npy")).fingerprint()
    load_run_data(config)
    assert len([entry for entry in (here / "cache").iterdir() if entry.is_dir()]) == 1
    (here / "arms.json").write_text(json.dumps({"arms": {"mine": {"settings": {"optimizer": "sgd"}}}}))
    assert [arm.name for arm in find_arms("arms.json")] == ["mine"]
    left = {path.name for folder in ("project", "user") for path in (tmp_path / folder).iterdir()}
    assert left == {"probe.npy", "cache", "arms.json"}


def test_the_cache_that_a_variable_names(here: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PTYCHO_MLF_CACHE", "cache")
    assert cache_folder(None) == here / "cache"
