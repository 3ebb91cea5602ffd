"""Old complex checkpoints and the real weights of today hold the same operator."""

import pytest
import torch

from ptycho_mlf.generators.spectral_conv import SpectralConv2d
from ptycho_mlf.generators.spectral_layout import from_complex_layout, to_complex_layout


@pytest.mark.parametrize(("kind", "modes", "side"), [("two_sided", 5, 32), ("two_sided", 12, 16), ("one_sided", 6, 8)])
def test_round_trip(kind, modes, side):
    layer = SpectralConv2d(3, 4, modes, side, kind)
    old = to_complex_layout(layer.weight.detach(), layer.grid)
    assert old.shape == (3, 4, *layer.grid)
    assert torch.equal(from_complex_layout(old), layer.weight)
    assert torch.equal(to_complex_layout(from_complex_layout(old), layer.grid), old)


def test_every_weight_lands_on_its_mode():
    old = torch.randn(3, 4, 6, 7, dtype=torch.complex64)
    new = from_complex_layout(old)
    assert new.shape == (42, 3, 4, 2)
    for c, d, ky, kx in [(0, 0, 0, 0), (2, 1, 5, 3), (1, 3, 2, 6)]:
        assert torch.complex(*new[7 * ky + kx, c, d]) == old[c, d, ky, kx]
