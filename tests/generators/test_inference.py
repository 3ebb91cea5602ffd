"""Sizes read back from weights: round trips over every architecture, and refusals that name key and shape."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ptycho_mlf.config import InputError, ModelConfig
from ptycho_mlf.generators import build_generator, list_generators
from ptycho_mlf.generators.inference import check_weights, infer_size

CASES: list[tuple[dict[str, Any], int, int]] = [
    ({"architecture": "hybrid", "fno_blocks": 3, "width": 4, "modes": 5}, 32, 1),
    ({"architecture": "hybrid", "fno_blocks": 1, "width": 3, "modes": 17, "spectral": "one_sided"}, 32, 4),
    ({"architecture": "hybrid", "fno_blocks": 4, "width": 2, "modes": 6, "max_hidden_channels": 5}, 48, 1),
    ({"architecture": "stable_hybrid", "fno_blocks": 3, "width": 4, "modes": 9, "residual": "zero_gamma"}, 16, 1),
    ({"architecture": "stable_hybrid", "fno_blocks": 2, "width": 4, "modes": 12, "output_mode": "amp_phase"}, 64, 1),
    ({"architecture": "stable_hybrid", "fno_blocks": 4, "width": 2, "modes": 7, "spectral": "one_sided"}, 64, 1),
    ({"architecture": "fno", "fno_blocks": 3, "width": 5, "modes": 9, "cnn_blocks": 0}, 16, 1),
    ({"architecture": "fno", "fno_blocks": 1, "width": 5, "modes": 4, "cnn_blocks": 3, "spectral": "one_sided"}, 20, 1),
    ({"architecture": "fno_vanilla", "fno_blocks": 2, "width": 4, "modes": 8}, 16, 4),
    ({"architecture": "ffno", "fno_blocks": 3, "width": 4, "modes": 9, "cnn_blocks": 1}, 16, 1),
    ({"architecture": "cnn", "width": 4, "cbam": False}, 64, 4),
    ({"architecture": "cnn", "width": 3, "probe_big": False}, 16, 1),
    ({"architecture": "hybrid_resnet", "fno_blocks": 3, "width": 4, "modes": 5, "resnet_blocks": 2}, 32, 1),
    (
        {
            "architecture": "hybrid_resnet",
            "fno_blocks": 4,
            "width": 4,
            "modes": 9,
            "resnet_blocks": 1,
            "resnet_width": 8,
            "resnet_downsample": "blur_pool",
            "resnet_skips": "concat",
            "spectral": "one_sided",
        },
        64,
        1,
    ),
    *(
        (
            {
                "architecture": "hybrid_resnet",
                "fno_blocks": 3,
                "width": 4,
                "modes": 4,
                "resnet_downsample": "avg_pool",
                "resnet_skips": skips,
            },
            16,
            4,
        )
        for skips in ("add", "gated_add")
    ),
    (
        {
            "architecture": "ffno",
            "fno_blocks": 2,
            "width": 4,
            "modes": 3,
            "cnn_blocks": 0,
            "ffno_weights": "per_block",
            "ffno_gate": "per_block",
        },
        18,
        1,
    ),
]


def weights(settings: dict[str, Any], N: int, channels: int) -> dict[str, Tensor]:
    return build_generator(ModelConfig(**settings), N, channels, seed=1).state_dict()


def test_every_architecture_has_a_case():
    assert {settings["architecture"] for settings, _, _ in CASES} == set(list_generators())


@pytest.mark.parametrize(("settings", "N", "channels"), CASES)
def test_the_size_is_read_back(settings: dict[str, Any], N: int, channels: int):
    state = weights(settings, N, channels)
    size = infer_size(settings["architecture"], state, N, preferred=64)
    assert (size.N, size.channels) == (N, channels)
    assert ModelConfig(**size.settings) == ModelConfig(**settings)
    again = build_generator(ModelConfig(**size.settings), size.N, size.channels, seed=2)
    check_weights(again, state)
    again.load_state_dict(state)


@pytest.mark.parametrize("N", [32, 64, 128])
def test_a_deep_network_tells_N_by_itself(N: int):
    settings = {"architecture": "hybrid", "fno_blocks": 4, "width": 2, "modes": 12}
    assert infer_size("hybrid", weights(settings, N, 1), None, preferred=64).N == N


def test_where_shapes_leave_a_choice_the_preferred_side_is_taken_if_it_fits():
    state = weights({"architecture": "fno_vanilla", "fno_blocks": 1, "width": 2, "modes": 8}, 32, 1)
    assert infer_size("fno_vanilla", state, None, preferred=64).N == 64
    with pytest.raises(InputError, match=r"fit N=16 and larger ones, .* say which with N"):
        infer_size("fno_vanilla", state, None, preferred=8)


def test_a_cnn_tells_the_range_of_N_by_its_stages():
    state = weights({"architecture": "cnn", "width": 3}, 32, 1)
    assert infer_size("cnn", state, None, preferred=48).N == 48
    with pytest.raises(InputError, match=r"fit N=32 and larger ones, 8 in all; say which with N"):
        infer_size("cnn", state, None, preferred=64)
    with pytest.raises(InputError, match="a cnn of 2 encoder stages is one for N from 32 to 60"):
        infer_size("cnn", state, 64, preferred=64)


@pytest.mark.parametrize(
    ("architecture", "change", "message"),
    [
        ("cnn9", {}, "architecture=cnn9: must be one of"),
        ("fno", {}, "body.0.branch.spectral.weight is missing"),
        ("ffno", {}, "body.spectral.0.along_x.weight is missing"),
        ("hybrid_resnet", {"body.encoder.0.branch.spectral.weight": None}, "body.encoder.0.branch.spectral.weight is"),
        ("hybrid", {"lifter.lift.weight": None}, "lifter.lift.weight is missing"),
        ("hybrid", {"lifter.lift.weight": (4,)}, r"lifter.lift.weight has shape \(4,\), must have 4 axes"),
        ("hybrid", {"body.encoder.1.branch.spectral.weight": (7, 8, 8, 2)}, "N=16 and no number of modes give hybrid"),
    ],
)
def test_foreign_weights_are_named(architecture: str, change: dict[str, Any], message: str):
    state = weights({"architecture": "hybrid", "fno_blocks": 2, "width": 4, "modes": 3}, 16, 1)
    for name, shape in change.items():
        del state[name]
        if shape is not None:
            state[name] = torch.zeros(shape)
    with pytest.raises(InputError, match=message):
        infer_size(architecture, state, 16, preferred=64)


def test_fno_and_its_plain_form_are_told_apart():
    plain = weights({"architecture": "fno_vanilla", "fno_blocks": 2, "width": 4, "modes": 3}, 16, 1)
    with pytest.raises(InputError, match=r"body.2.weight is missing"):
        infer_size("fno", plain, 16, preferred=64)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("head.projection.bias", None, r"^head.projection.bias is missing, must be \(2,\)$"),
        ("head.projection.bias", (3,), r"^head.projection.bias has shape \(3,\), must be \(2,\)$"),
        ("body.9.bias", (3,), r"^body.9.bias has shape \(3,\), does not belong to this network$"),
    ],
)
def test_weights_that_do_not_fit_are_named_with_their_shapes(name: str, shape: Any, message: str):
    settings = ModelConfig(architecture="fno", fno_blocks=1, width=4, modes=3)
    generator = build_generator(settings, 16, 1, seed=0)
    state = dict(generator.state_dict())
    state.pop(name, None)
    if shape is not None:
        state[name] = torch.zeros(shape)
    with pytest.raises(InputError, match=message):
        check_weights(generator, state)
