"""The one-dimensional spectral layer against torch.fft."""

import pytest
import torch

from ptycho_mlf.generators.spectral_conv1d import SpectralConv1d


def oracle(x, weight, axis):
    dim = -1 if axis == "x" else -2
    x = x.movedim(dim, -1)
    X, K = torch.fft.rfft(x), weight.shape[0]
    Y = torch.zeros(x.shape[0], weight.shape[2], *X.shape[2:], dtype=X.dtype)
    Y[..., :K] = torch.einsum("bcsk,kcd->bdsk", X[..., :K], torch.view_as_complex(weight))
    return torch.fft.irfft(Y, n=x.shape[-1]).movedim(-1, dim)


def relative(a, b):
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize("axis", ["x", "y"])
@pytest.mark.parametrize(("modes", "side"), [(12, 64), (9, 16), (5, 9), (1, 1)])
def test_equals_the_fft_definition_with_its_gradients(axis, modes, side):
    torch.manual_seed(0)
    shape = (side, 6) if axis == "y" else (6, side)
    layer = SpectralConv1d(3, 5, modes, side, axis).double()
    x = torch.randn(2, 3, *shape, dtype=torch.float64, requires_grad=True)
    y_bar = torch.randn(2, 5, *shape, dtype=torch.float64)
    ours, theirs = layer(x), oracle(x, layer.weight, axis)
    assert relative(ours, theirs) < 1e-12
    ours_bar, theirs_bar = (torch.autograd.grad(y, (x, layer.weight), y_bar) for y in (ours, theirs))
    for a, b in zip(ours_bar, theirs_bar, strict=True):
        assert relative(a, b) < 1e-12
    assert int((ours_bar[1] != 0).sum()) == layer.live_reals


@pytest.mark.parametrize("axis", ["x", "y"])
def test_single_precision(axis):
    layer, x = SpectralConv1d(32, 32, 12, 64, axis), torch.randn(2, 32, 64, 64)
    assert relative(layer(x).double(), oracle(x.double(), layer.weight.double(), axis)) < 1e-6


def test_more_modes_than_the_axis_has_is_an_error():
    SpectralConv1d(1, 1, 9, 16, "x")
    with pytest.raises(ValueError, match="10 modes: a side of 16 px has only 9"):
        SpectralConv1d(1, 1, 10, 16, "x")
