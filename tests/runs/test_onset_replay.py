"""`replay=onset` in whole runs: the step of the post-mortem, its tensors, and the proof."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import mlflow
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from ptycho_mlf.config import InputError, RunConfig
from ptycho_mlf.runs.stage_a import run_stage_a
from ptycho_mlf.telemetry.replay_report import proof
from ptycho_mlf.telemetry.trace import Rows

LATE = {"learning_rate": 1.0, "scheduler": "WarmupCosine", "lr_warmup_epochs": 10, "epochs": 12}


def strict(path: Path) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in {path.name}")

    return json.loads(path.read_text(), parse_constant=refuse)


@pytest.mark.parametrize(
    ("changes", "start", "kind"),
    [
        ({"learning_rate": 1e5}, "initial weights", "nonfinite"),
        ({**LATE, "keep": "evidence"}, r"checkpoint after epoch [5-7]", "nonfinite"),
        ({"optimizer": "adam", "learning_rate": 0.3, "clip_algorithm": "zclip"}, "initial weights", "jump"),
    ],
)
def test_the_replay_is_the_onset_of_the_postmortem(
    changes: dict, start: str, kind: str, store: Path, tiny: Callable[..., RunConfig]
):
    run_id = run_stage_a(
        tiny(**{"optimizer": "sgd", "epochs": 12, "replay": "onset", "update_stride": 1, **changes})
    ).run_id
    folder = Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/", dst_path=str(store / "found")))
    onset, found = strict(folder / "gradients" / "onset.json"), strict(folder / "gradients" / "replay" / "replay.json")
    schema = json.loads(files("ptycho_mlf.telemetry").joinpath("schemas/replay.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(found)
    step = onset["step"]
    assert (onset["kind"], found["step"]) == (kind, step)
    assert found["proof"] == {
        "first_step": found["proof"]["first_step"],
        "last_step": step,
        "identical": True,
        "differences": {},
    }
    assert re.fullmatch(start, found["start"])
    assert "the same, bit for bit" in found["sentence"]
    trace = pq.read_table(folder / "trace.parquet").to_pandas()
    assert found["trace"]["loss"] == trace["loss"][step]
    assert [p["pattern"] for p in found["patterns"]] == onset["batch"]["patterns"]
    assert [layer["name"] for layer in found["layers"]] == onset["layers"]
    row = onset["steps"].index(step)
    for k, layer in enumerate(found["layers"]):
        if onset["grad_norm"][row][k] is None:  # A norm in single precision overflows where the tensor does not.
            assert layer["grad_norm"] > 1e19
        else:
            assert layer["grad_norm"] == pytest.approx(onset["grad_norm"][row][k], rel=1e-5)
        assert layer["grad_norm_before"] == pytest.approx(onset["grad_norm"][row - 1][k], rel=1e-5)
        assert layer["weight_norm"] == pytest.approx(onset["weight_norm"][row][k], rel=1e-5)
        assert layer["update_ratio"] == pytest.approx(onset["update_ratio"][row][k], rel=1e-2)

    tensors = load_file(folder / "gradients" / "replay" / "onset.safetensors")
    assert {name: list(tensor.shape) for name, tensor in tensors.items()} == found["tensors"]
    gradients = [t.double() for name, t in tensors.items() if name.startswith("gradient/")]
    norm = torch.cat([g.flatten() for g in gradients]).norm()
    expected = trace["grad_norm_preclip"][step]
    assert float(norm) == pytest.approx(expected, rel=1e-6) or (np.isinf(expected) and norm > 1e19)
    error = (tensors["batch/predicted_amplitude"] - tensors["batch/amplitude"]).double().abs().mean()
    assert float(error / tensors["batch/amplitude"].double().mean()) == pytest.approx(trace["loss"][step], rel=1e-5)
    page = (folder / "gradients" / "replay" / "replay.html").read_text()
    assert page.count("data:image/png;base64,") == 3
    assert not re.search(r"(src|href)=\"(?!data:)|<script|@import|url\(", page)


def test_a_healthy_run_has_nothing_to_replay(store: Path, tiny: Callable[..., RunConfig]):
    run_id = run_stage_a(tiny(replay="onset")).run_id
    assert not mlflow.artifacts.list_artifacts(f"runs:/{run_id}/gradients/replay")


def test_it_needs_the_postmortem(tiny: Callable[..., RunConfig]):
    with pytest.raises(InputError, match="replay=onset: nothing uses it here; it needs postmortem=true"):
        tiny(replay="onset", postmortem=False)


def rows(first: int, loss: list[float]) -> Rows:
    step = np.arange(first, first + len(loss))
    return Rows({"step": step, "epoch": step // 5, "loss": np.array(loss), "lr": np.full(len(loss), 0.1)})


def test_a_replay_that_went_another_way_says_by_how_much():
    trained = rows(0, [5, 4, 3, 2, np.nan])
    assert proof(trained, rows(2, [3, 2, np.nan]), 4)["identical"]
    other = proof(trained, rows(2, [3, 2.5, np.nan]), 4)
    assert not other["identical"]
    assert other["differences"] == {"loss": {"first_step": 3, "largest": 0.5, "largest_relative": 0.25}}
    early = proof(trained, rows(2, [3, 2]), 4)
    assert not early["identical"]
    assert early["last_step"] == 3
