"""A run of the convolutional generators leaves everything behind: signals, reports of every layer, readable weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ptycho_mlf.config import RunConfig
from ptycho_mlf.runs.activations import ActivationRequest, report_activations
from ptycho_mlf.runs.dataset import load_run_data
from ptycho_mlf.runs.stage_a import run_stage_a
from ptycho_mlf.tracking.queries import download_artifact
from ptycho_mlf.training.checkpoints import generator_weights

CASES: dict[str, dict[str, Any]] = {
    "cnn": {"fno_blocks": 4, "modes": 12},  # The defaults: it has neither.
    "hybrid_resnet": {"fno_blocks": 3, "resnet_blocks": 2, "resnet_skips": "add"},
}
WATCHED = {"cnn": "body.decoder.amplitude.0", "hybrid_resnet": "body.resnet.1"}


@pytest.mark.parametrize("architecture", CASES)
def test_a_run_and_its_reports(architecture: str, tiny: Callable[..., RunConfig], store: Path):
    settings = {**CASES[architecture], "width": 8, "clip_algorithm": "agc", "activation_epochs": 1}
    config = tiny(architecture=architecture, N=32, epochs=1, **settings)
    run_id = run_stage_a(config).run_id

    def content(name: str) -> Any:
        return json.loads(download_artifact(run_id, name).read_text())

    verdict = content("verdict.json")
    assert verdict["evidence"]["dead_channels"][WATCHED[architecture]] < 1
    assert verdict["evidence"]["contrast_spatial"] > 0
    report = content("activations/activation_report.json")
    assert ("modes" in report["source"]) == (architecture != "cnn")
    layers = {layer["name"]: layer for layer in report["snapshots"][-1]["layers"]}
    assert layers[WATCHED[architecture]]["rms"] > 0
    assert (layers["head"]["head_saturation"] is None) == (architecture != "cnn")
    gradients = {layer["name"] for layer in content("gradients/gradient_report.json")["layers"]}
    assert ("head.amplitude.ring" if architecture == "cnn" else "body.gate") in gradients

    # The weights alone, with the name of the architecture.
    patterns = store / "patterns.npz"
    batch = load_run_data(config).val.amplitude_nCNN[:4]
    np.savez(patterns, diffraction=np.moveaxis(batch, 1, -1), _metadata=np.array(["{}"], object))
    checkpoint = str(store / "weights.pt")
    torch.save(generator_weights(download_artifact(run_id, "checkpoints/best.ckpt")), checkpoint)
    report_activations(
        ActivationRequest(
            overrides={"architecture": architecture},
            output=str(store / "out"),
            checkpoint=checkpoint,
            input=str(patterns),
        )
    )
    (document,) = (store / "out").glob("*.json")
    source = json.loads(document.read_text())["source"]
    assert {name: source[name] for name in config.model.used()} == config.model.used()
    summary = download_artifact(run_id, "summary.md").read_text()
    assert ("cnn, width 8, " if architecture == "cnn" else "hybrid_resnet, 3 blocks, width 8, modes 4") in summary


def test_zeros_around_a_window_are_no_contrast(tiny: Callable[..., RunConfig], store: Path):
    """A cnn that stays flat within its window must not pass for one with features."""
    config = tiny(architecture="cnn", N=32, probe_big=False, epochs=1, learning_rate=1e-12, **CASES["cnn"])
    run_id = run_stage_a(config).run_id
    evidence = json.loads(download_artifact(run_id, "verdict.json").read_text())["evidence"]
    # With the zeros it would be 0.46.
    assert evidence["contrast_spatial"] < 0.2
