"""Trained networks from runs, models and files: each with the configuration that fits it, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ptycho_mlf.config import InputError, ModelConfig, RunConfig
from ptycho_mlf.generators import build_generator
from ptycho_mlf.runs.network_source import NetworkRequest, load_network
from ptycho_mlf.runs.stage_a import run_stage_a
from ptycho_mlf.tracking.queries import download_artifact
from ptycho_mlf.training.fit import weights_seed


def bare(folder: Path, N: int, **settings: Any) -> str:
    """A file with nothing but weights."""
    path = folder / "bare.pt"
    torch.save(build_generator(ModelConfig(**settings), N, 1, seed=3).state_dict(), path)
    return str(path)


@pytest.mark.parametrize("weights", ["best", "last"])
def test_the_checkpoint_of_a_run_tells_what_no_shape_does(
    weights: str, tiny: Callable[..., RunConfig], store: Path, monkeypatch: pytest.MonkeyPatch
):
    config = tiny(input_transform="log1p", output_mode="amp_phase_logits", learning_rate=1e-2, epochs=1)
    run_id = run_stage_a(config).run_id
    checkpoint = str(download_artifact(run_id, f"checkpoints/{weights}.ckpt"))
    found = load_network(NetworkRequest({}, checkpoint=checkpoint), None)
    assert found.config == config
    assert found.step == 5
    assert found.initial is not None
    initial = build_generator(config.model, 16, 1, weights_seed(config)).state_dict()
    assert all(torch.equal(initial[name], tensor) for name, tensor in found.initial.state_dict().items())
    x = torch.rand(2, 1, 16, 16)
    asked = NetworkRequest({}, run_id=run_id, weights="best" if weights == "best" else "last")
    with torch.no_grad():
        torch.testing.assert_close(found.generator(x), load_network(asked, None).generator(x), rtol=0, atol=0)

    other = load_network(NetworkRequest({"object": "disks", "N": "16"}, checkpoint=checkpoint), None)
    assert other.config == config.with_changes(object="disks")
    with pytest.raises(InputError, match=r"best|last\.ckpt: .* has shape"):
        load_network(NetworkRequest({"width": "6"}, checkpoint=checkpoint), None)


@pytest.mark.parametrize("N", [16, 20, 32])
@pytest.mark.parametrize("said", ["option", "input"])
def test_what_the_shapes_tell_needs_not_be_said(N: int, said: str, folder: Path):
    checkpoint = bare(folder, N, architecture="fno_vanilla", fno_blocks=1, width=2, modes=4)
    overrides = {"architecture": "fno_vanilla"} | ({"N": str(N)} if said == "option" else {})
    config = load_network(NetworkRequest(overrides, checkpoint=checkpoint), N if said == "input" else None).config
    assert (config.data.N, config.model.modes, config.model.width, config.model.fno_blocks) == (N, 4, 2, 1)


def test_patterns_larger_than_the_usual_object(folder: Path):
    checkpoint = bare(folder, 400, architecture="fno_vanilla", fno_blocks=1, width=2, modes=2)
    found = load_network(NetworkRequest({"architecture": "fno_vanilla"}, checkpoint=checkpoint), 400)
    assert found.config.data.N == 400


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({}, r"bare\.pt: it holds weights alone; name their architecture"),
        ({"architecture": "hybrid", "N": "16", "modes": "12"}, "modes=12: N=16 has only 9"),
        ({"architecture": "hybrid", "N": "18"}, r"bare\.pt: N=18 and no number of modes give hybrid"),
        ({"architecture": "hybrid", "N": "17"}, "N=17: input should be a multiple of 2"),
        ({"architecture": "hybrid", "N": "16", "moods": "12"}, "moods=12: no such parameter; did you mean modes"),
    ],
)
def test_what_cannot_be_is_named(overrides: dict[str, str], message: str, folder: Path):
    checkpoint = bare(folder, 16, architecture="hybrid", fno_blocks=3, width=4, modes=4)
    with pytest.raises(InputError, match=message):
        load_network(NetworkRequest(overrides, checkpoint=checkpoint), None)


@pytest.mark.parametrize("named", [{}, {"run_id": "a", "model": "b"}, {"checkpoint": "a", "model": "b"}])
def test_exactly_one_network(named: dict[str, Any]):
    with pytest.raises(InputError, match="run_id, checkpoint, model: name exactly one of them"):
        NetworkRequest(overrides={}, **named)
