"""Predicting the middle of a patch alone gives the numbers of the whole prediction."""

from typing import get_args

import pytest
import torch

from ptycho_mlf.config import ModelConfig
from ptycho_mlf.config.model import Architecture
from ptycho_mlf.generators import build_generator, central
from ptycho_mlf.generators.central import predict_central

SQUARES = [slice(13, 19), slice(0, 5), slice(27, 32), slice(2, 31), slice(0, 32), slice(16, 17)]


def network(architecture: str, channels: int = 1, **settings: object):
    """Weights far from their initial values: gains, gates and layer scales near zero would hide what is wrong."""
    depth = {} if architecture == "cnn" else {"modes": 5, "fno_blocks": 3}
    model = ModelConfig.model_validate({"architecture": architecture, "width": 6, **depth, **settings})
    generator = build_generator(model, 32, channels, seed=0).eval()
    with torch.no_grad():
        random = torch.Generator().manual_seed(1)
        for parameter in generator.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=random)
    return generator


def amplitudes(channels: int = 1) -> torch.Tensor:
    return torch.rand(5, channels, 32, 32, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("kept", SQUARES, ids=lambda kept: f"{kept.start}-{kept.stop}")
@pytest.mark.parametrize(
    ("architecture", "settings"),
    [(name, {}) for name in get_args(Architecture)]
    + [("fno", {"cnn_blocks": 0}), ("ffno", {"cnn_blocks": 3}), ("hybrid", {"fno_blocks": 1})]
    + [("stable_hybrid", {"output_mode": "amp_phase", "max_hidden_channels": 8})],
)
def test_the_middle_is_that_of_the_whole_prediction(architecture: str, settings: dict, kept: slice):
    generator = network(architecture, **settings)
    with torch.inference_mode():
        whole = generator(amplitudes())
        found = predict_central(generator, amplitudes(), kept)
    want = whole[..., kept, kept]
    assert found.shape == want.shape
    assert (found - want).abs().max() <= 1e-6 * whole.abs().max()
    assert want.abs().std() > 0.01 * want.abs().mean() or want.numel() < 20


@pytest.mark.parametrize("patterns", [1, 2, 4, 7])
def test_however_many_patterns_pass_a_level_at_a_time(patterns: int, monkeypatch: pytest.MonkeyPatch):
    generator = network("stable_hybrid", channels=4)
    with torch.inference_mode():
        whole = generator(amplitudes(4))
        monkeypatch.setattr(central, "_CACHE_BYTES", patterns * 4 * 6 * 32**2)
        found = predict_central(generator, amplitudes(4), slice(10, 20))
    torch.testing.assert_close(found, whole[..., 10:20, 10:20], rtol=0, atol=1e-6 * float(whole.abs().max()))


@pytest.mark.parametrize("architecture", ["stable_hybrid", "fno", "ffno"])
def test_what_is_not_kept_is_not_computed(architecture: str):
    """Counted in multiplications of convolutions, by torch itself."""
    from torch.utils.flop_counter import FlopCounterMode

    generator = network(architecture, cnn_blocks=2) if architecture != "stable_hybrid" else network(architecture)

    def operations(kept: slice) -> int:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            predict_central(generator, amplitudes(), kept)
        return counter.get_total_flops()

    assert operations(slice(13, 19)) < 0.8 * operations(slice(0, 32))
