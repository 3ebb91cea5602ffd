"""The coordinate check in a real store, and as users call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest
from mlflow import MlflowClient

from ptycho_mlf.config import InputError
from ptycho_mlf.generators import list_generators
from ptycho_mlf.runs.coordinate_check import CoordinateRequest, check_coordinates
from ptycho_mlf.tracking.queries import download_artifact

ROOT = Path(__file__).parents[2]
TINY = {"N": "16", "size": "64", "outer_offset_train": "12", "modes": "2", "batch_size": "2", "accelerator": "cpu"}
ARTIFACTS = {
    "coordinate_check.json",
    "coordinate_check.png",
    "signal_propagation.json",
    "signal_propagation.png",
    "summary.md",
}


def request(overrides: dict[str, str], cache: Path, **changes: Any) -> CoordinateRequest:
    asked: dict[str, Any] = {"widths": "2,4", "depths": "2", "steps": 2, "seeds": 1} | changes
    return CoordinateRequest(overrides={**TINY, "cache_dir": str(cache), **overrides}, **asked)


def content(run_id: str, name: str) -> Any:
    return json.loads(download_artifact(run_id, name).read_text())


@pytest.mark.parametrize("architecture", list_generators())
def test_every_architecture(architecture: str, store: Path, dataset_cache: Path, capsys: pytest.CaptureFixture[str]):
    changes = {"modes": "12"} if architecture == "cnn" else {}  # Its default: it has none.
    asked = {"architecture": architecture, **changes}
    depths = "auto" if architecture in ("cnn", "hybrid_resnet") else "2"
    run_id = check_coordinates(request(asked, dataset_cache, depths=depths))
    assert {item.path for item in MlflowClient().list_artifacts(run_id)} == ARTIFACTS
    assert MlflowClient().get_run(run_id).data.tags["kind"] == "coordinate_check"
    for name in ("coordinate_check.png", "signal_propagation.png"):
        assert matplotlib.image.imread(download_artifact(run_id, name)).std() > 0.01
    places = {row["place"]: row for row in content(run_id, "coordinate_check.json")["places"]}
    # What comes in does not change, what goes out does.
    assert places["lifter.transform"]["slope"] is None
    assert isinstance(places["head"]["slope"], float)
    signals = content(run_id, "signal_propagation.json")["places"]
    depths = {row["depth"] for row in signals}
    assert depths == {"cnn": {4}, "hybrid_resnet": {3, 4}}.get(architecture, {2})
    deepest = [s["place"] for s in signals if s["depth"] == max(depths)]
    assert set(deepest) == set(places)
    assert len(deepest) == 2 * len(places)
    assert ("head.amplitude" if architecture == "cnn" else "head.projection") in capsys.readouterr().out


def test_the_same_seeds_give_the_same_numbers(store: Path, dataset_cache: Path):
    asked = request({"optimizer": "sgd", "clip_algorithm": "norm"}, dataset_cache, seeds=2, depths="1,2")
    first, second = check_coordinates(asked), check_coordinates(asked)
    other = check_coordinates(request({"optimizer": "sgd", "seed": "1"}, dataset_cache, seeds=2, depths="1,2"))
    for name in ("coordinate_check.json", "signal_propagation.json"):
        assert content(first, name) == content(second, name)
        assert content(first, name)["places"] != content(other, name)["places"]
    places = content(first, "coordinate_check.json")["places"]
    assert {row["depth"] for row in places} == {1, 2}
    assert all(len(change["seeds"]) == 2 for row in places for change in row["change"])


@pytest.mark.parametrize(
    ("overrides", "changes", "message"),
    [
        ({}, {"widths": "8,4"}, "widths=8,4: must be positive and increase"),
        ({}, {"widths": "4,4"}, "widths=4,4: must be positive and increase"),
        ({}, {"widths": "0,4"}, "widths=0,4: must be positive and increase"),
        ({}, {"widths": "4"}, "widths=4: needs at least 2 numbers"),
        ({}, {"widths": "4,wide"}, "widths=4,wide: must be whole numbers, separated by commas"),
        ({}, {"depths": "2,9"}, "fno_blocks=9: stable_hybrid at N=16 holds at most 4 levels"),
        ({"width": "8"}, {}, "width=8: say widths here"),
        ({"lr_gamma": "0.5"}, {}, "lr_gamma=0.5: nothing uses it here"),
        ({"epochs": "3"}, {}, "epochs=3: nothing uses it here"),
    ],
)
def test_what_does_not_fit_is_refused(overrides: dict[str, str], changes: dict[str, Any], message: str, folder: Path):
    with pytest.raises(InputError) as refused:
        check_coordinates(request(overrides, folder, **changes))
    assert str(refused.value).startswith(message)
    assert list(folder.iterdir()) == []


def test_mlflow_run(store: Path, dataset_cache: Path):
    def call(**given: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "mlflow", "run", str(ROOT), "-e", "coordinate_check"]
        given = {**TINY, "cache_dir": str(dataset_cache), "depths": "1", "steps": "1", "seeds": "1", **given}
        words += [word for name, value in given.items() for word in ("-P", f"{name}={value}")]
        variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        variables["MLFLOW_TRACKING_URI"] = f"sqlite:///{store}/mlflow.db"
        return subprocess.run(words, cwd=store, env=variables, capture_output=True, text=True, timeout=600)

    done = call(widths="2,4")
    assert done.returncode == 0, done.stderr
    assert "slope, depth 1" in done.stdout
    client = MlflowClient()
    (found,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert found.info.status == "FINISHED"
    assert found.data.params["widths"] == "2,4"
    assert {item.path for item in client.list_artifacts(found.info.run_id)} == ARTIFACTS


def test_a_refusal_is_one_line_and_code_2(folder: Path):
    words = [sys.executable, "-m", "entrypoints.coordinate_check", "--widths", "8,4"]
    done = subprocess.run(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: widths=8,4: must be positive and increase\n"
    assert list(folder.iterdir()) == []
