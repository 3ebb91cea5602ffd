"""The spectral layer against torch.fft, and what its two kinds let through."""

import copy
import math

import numpy as np
import pytest
import torch

from ptycho_mlf.generators import spectral_layer
from ptycho_mlf.generators.spectral_conv import SpectralConv2d
from ptycho_mlf.generators.spectral_conv1d import SpectralConv1d

CASES = [
    ("two_sided", 12, (64, 64)),
    ("two_sided", 12, (16, 16)),  # all rows, Nyquist column
    ("two_sided", 4, (8, 8)),  # 2 modes = H: the Nyquist row once
    ("two_sided", 3, (9, 15)),
    ("two_sided", 12, (7, 5)),
    ("two_sided", 6, (1, 1)),
    ("two_sided", 5, (24, 8)),
    ("one_sided", 12, (64, 64)),
    ("one_sided", 12, (16, 16)),
    ("one_sided", 12, (8, 8)),
    ("one_sided", 6, (9, 15)),
    ("one_sided", 3, (2, 2)),
]
cases = pytest.mark.parametrize(("kind", "modes", "side"), CASES)


def oracle(layer, x, weight):
    """rfft2, one multiplication per kept mode, irfft2: the definition."""
    H, W = x.shape[-2:]
    X = torch.fft.rfft2(x)
    Y = torch.zeros(x.shape[0], weight.shape[2], H, W // 2 + 1, dtype=X.dtype)
    complex_weight = torch.view_as_complex(weight).unflatten(0, layer.grid)
    for row, ky in enumerate(layer.rows):
        for kx in range(layer.columns):
            Y[:, :, ky, kx] = X[:, :, ky, kx] @ complex_weight[row, kx]
    return torch.fft.irfft2(Y, s=(H, W))


def relative(a, b):
    return ((a - b).norm() / b.norm()).item()


@cases
def test_equals_the_fft_definition_with_its_gradients(kind, modes, side):
    torch.manual_seed(0)
    layer = SpectralConv2d(3, 5, modes, side, kind).double()
    x = torch.randn(2, 3, *side, dtype=torch.float64, requires_grad=True)
    y_bar = torch.randn(2, 5, *side, dtype=torch.float64)
    ours = layer(x)
    theirs = oracle(layer, x, layer.weight)
    assert relative(ours, theirs) < 1e-12
    for a, b in zip(*(torch.autograd.grad(y, (x, layer.weight), y_bar) for y in (ours, theirs)), strict=True):
        assert relative(a, b) < 1e-12


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("kind", "modes", "side"), [CASES[0], CASES[1], CASES[7]])
@pytest.mark.parametrize("convolve", [False, True])
def test_single_precision(monkeypatch, kind, modes, side, memory_format, convolve):
    """Output and both gradients within 1e-6 of rfft2 in float64, in either form of the matrix products."""
    monkeypatch.setattr(spectral_layer, "by_convolution", lambda matrix, x: convolve)
    torch.manual_seed(1)
    layer = SpectralConv2d(16, 16, modes, side, kind)
    x = torch.randn(4, 16, *side).to(memory_format=memory_format).requires_grad_()
    y_bar = torch.randn(4, 16, *side)
    weight = layer.weight.detach().double().requires_grad_()
    x_double = x.detach().double().requires_grad_()
    ours, theirs = layer(x), oracle(layer, x_double, weight)
    assert relative(ours.double(), theirs) < 1e-6
    ours_bar = torch.autograd.grad(ours, (x, layer.weight), y_bar)
    theirs_bar = torch.autograd.grad(theirs, (x_double, weight), y_bar.double())
    for a, b in zip(ours_bar, theirs_bar, strict=True):
        assert relative(a.double(), b) < 1e-6


@pytest.mark.parametrize(
    ("P", "Q", "C", "batch", "convolved"),
    [
        (24, 64, 32, 1024, True),  # columns, 32 channels at 64 px
        (48, 128, 384, 16, True),  # rows of the same layer
        (18, 16, 128, 256, False),  # 18 of 32 vector lanes filled
        (32, 32, 1152, 16, False),  # a wide product of small matrices
        (48, 64, 1536, 16, False),  # a wide product
        (16, 16, 4, 256, False),  # too little work
    ],
)
def test_form_of_the_matrix_products(P, Q, C, batch, convolved):
    matrix, x = torch.empty(P, Q), torch.empty(batch, Q, C)
    assert spectral_layer.by_convolution(matrix, x) == convolved
    assert not spectral_layer.by_convolution(matrix.double(), x.double())
    assert not spectral_layer.by_convolution(matrix.to("meta"), x.to("meta"))


@pytest.mark.parametrize(
    ("layer", "side"),
    [
        (SpectralConv2d(2, 3, 3, (4, 6)), (4, 6)),
        (SpectralConv2d(2, 3, 3, 5, "one_sided"), (5, 5)),
        (SpectralConv1d(2, 3, 3, 5, "x"), (2, 5)),
        (SpectralConv1d(2, 3, 3, 5, "y"), (5, 2)),
    ],
)
def test_first_and_second_derivatives_are_those_of_finite_differences(layer, side):
    torch.manual_seed(5)
    layer = copy.deepcopy(layer).double()
    x = torch.randn(2, 2, *side, dtype=torch.float64, requires_grad=True)
    weight = layer.weight.detach().requires_grad_()

    def filtered(x, weight):
        return torch.func.functional_call(layer, {"weight": weight}, (x,))

    assert torch.autograd.gradcheck(filtered, (x, weight), fast_mode=True)
    assert torch.autograd.gradgradcheck(filtered, (x, weight), fast_mode=True)


def test_no_gradient_is_computed_for_what_needs_none():
    layer, x = SpectralConv2d(2, 2, 3, 8), torch.randn(1, 2, 8, 8, requires_grad=True)
    layer.weight.requires_grad_(False)
    (x_bar,) = torch.autograd.grad(layer(x).square().sum(), x)
    layer.weight.requires_grad_(True)
    assert torch.equal(x_bar, torch.autograd.grad(layer(x).square().sum(), x)[0])
    layer(x.detach()).square().sum().backward()
    assert layer.weight.grad is not None


@pytest.mark.parametrize("kind", ["two_sided", "one_sided"])
def test_training_follows_the_fft_definition(kind):
    """Twenty steps of Adam through two layers and a nonlinearity: the same losses within 1e-5."""

    torch.manual_seed(6)
    layers = torch.nn.ModuleList(SpectralConv2d(4, 4, 3, 8, kind) for _ in range(2))
    x, target = torch.randn(4, 4, 8, 8), torch.randn(4, 4, 8, 8)

    def trace(apply):
        first, second = trained = copy.deepcopy(layers)
        optimizer = torch.optim.Adam(trained.parameters(), lr=1e-2)
        losses = []
        for _ in range(20):
            optimizer.zero_grad()
            y = x + apply(second, torch.nn.functional.gelu(apply(first, x)))
            loss = (y - target).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    ours = trace(lambda layer, x: layer(x))
    assert ours[-1] < 0.95 * ours[0]
    assert ours == pytest.approx(trace(lambda layer, x: oracle(layer, x, layer.weight)), rel=1e-5)


@cases
def test_rows_and_columns_by_the_rule(kind, modes, side):
    H, W = side
    layer = SpectralConv2d(1, 1, modes, side, kind)
    signed = np.fft.fftfreq(H, 1 / H).round()
    kept = {int(ky) % H for ky in signed if ky >= 0 or kind == "two_sided"}
    if kind == "one_sided":
        assert layer.rows == list(range(min(modes, H)))
        assert layer.weight.shape == (modes * modes, 1, 1, 2)
    else:
        expected = sorted(k for k in kept if k < modes or k >= H - modes)
        assert layer.rows == expected
        assert layer.weight.shape == (min(2 * modes, H) * min(modes, W // 2 + 1), 1, 1, 2)
    assert layer.columns == min(modes, W // 2 + 1)


def test_share_of_kept_coefficients():
    total = 64 * 33
    kept = {k: len(v.rows) * v.columns for k in ("one_sided", "two_sided") for v in [SpectralConv2d(1, 1, 12, 64, k)]}
    assert kept["one_sided"] / total == pytest.approx(0.068, abs=5e-4)
    assert kept["two_sided"] / total == pytest.approx(0.136, abs=5e-4)
    reachable = [SpectralConv2d(1, 1, 12, side, "one_sided") for side in (16, 8)]
    assert [len(v.rows) * v.columns for v in reachable] == [108, 40]


@cases
def test_live_reals_are_those_that_receive_a_gradient(kind, modes, side):
    layer = SpectralConv2d(2, 3, modes, side, kind)
    layer(torch.randn(4, 2, *side)).square().sum().backward()
    assert layer.weight.grad is not None
    # Exactly zero, not small: an adaptive optimizer would blow rounding errors up to full steps.
    assert int((layer.weight.grad != 0).sum()) == layer.live_reals


def test_dead_share_of_two_sided():
    shares = [1 - v.live_reals / v.weight.numel() for v in (SpectralConv2d(1, 1, 12, side) for side in (64, 8))]
    assert shares == pytest.approx([1 / 576, 4 / 80])


def energy_passed(kind, ky):
    """Share of the energy of a (ky, 5) grating that passes weights of modulus 1 and random phase."""
    torch.manual_seed(2)
    layer = SpectralConv2d(1, 1, 12, 64, kind).double()
    phase = torch.rand(layer.weight.shape[0], 1, 1, dtype=torch.float64) * 2 * math.pi
    layer.weight.data.copy_(torch.stack([phase.cos(), phase.sin()], -1))
    pixel = torch.arange(64, dtype=torch.float64)
    grating = torch.cos(2 * math.pi / 64 * (ky * pixel[:, None] + 5 * pixel[None]) + 0.3)[None, None]
    return (layer(grating).square().sum() / grating.square().sum()).item()


def test_gratings_of_both_signs_pass_two_sided_alike():
    assert energy_passed("two_sided", 5) == pytest.approx(1, abs=1e-12)
    assert energy_passed("two_sided", -5) == pytest.approx(1, abs=1e-12)


def test_one_sided_loses_negative_rows():
    assert energy_passed("one_sided", 5) == pytest.approx(1, abs=1e-12)
    assert energy_passed("one_sided", -5) < 1e-14


@pytest.mark.parametrize("kind", ["two_sided", "one_sided"])
def test_doubled_input_gives_doubled_output(kind):
    layer, x = SpectralConv2d(4, 4, 5, 16, kind), torch.randn(2, 4, 16, 16)
    assert torch.equal(layer(2 * x), 2 * layer(x))


@pytest.mark.parametrize(
    "layer",
    [SpectralConv2d(2, 2, 4, 16), SpectralConv1d(2, 2, 4, 16, "x"), SpectralConv1d(2, 2, 4, 16, "y")],
)
@pytest.mark.parametrize("side", [8, 32])
def test_another_resolution_is_an_error(layer, side):
    with pytest.raises(ValueError, match=f"{side} x {side} px: this spectral layer was built for 16"):
        layer(torch.zeros(1, 2, side, side))


def test_initial_weights_have_unit_variance_over_cin():
    torch.manual_seed(3)
    weight = SpectralConv2d(64, 64, 8, 32).weight
    assert (weight.square().sum(-1).mean() * 64).item() == pytest.approx(1, abs=0.01)
    assert (weight.square().mean((0, 1, 2)) * 64).tolist() == pytest.approx([0.5, 0.5], abs=0.01)


@pytest.mark.parametrize("layer", [SpectralConv2d(8, 8, 6, 16), SpectralConv1d(8, 8, 6, 16, "y")])
def test_runs_in_single_precision_under_autocast(layer):
    x = torch.randn(2, 8, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        y, from_half = layer(x), layer(x.bfloat16())
    assert y.dtype == from_half.dtype == torch.float32
    assert torch.equal(y, layer(x))
    assert torch.equal(from_half, layer(x.bfloat16().float()))


@pytest.mark.parametrize("layer", [SpectralConv2d(4, 4, 3, 8), SpectralConv1d(4, 4, 3, 8, "x")])
def test_a_backward_pass_under_autocast_is_in_single_precision_too(layer):
    x = torch.randn(2, 4, 8, 8, requires_grad=True)
    inputs = x, layer.weight
    expected = torch.autograd.grad(layer(x).square().sum(), inputs)
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.autograd.grad(layer(x).square().sum(), inputs)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_matrices_follow_casts_copies_and_devices_and_stay_out_of_checkpoints():
    layer = SpectralConv2d(2, 2, 6, 16)
    assert list(layer.state_dict()) == ["weight"]
    with torch.device("meta"):
        abstract = SpectralConv2d(2, 2, 6, 16)
    assert abstract.forward_rows.is_meta
    built = abstract.to_empty(device="cpu")
    built.load_state_dict(layer.state_dict())
    x = torch.randn(1, 2, 16, 16)
    assert torch.equal(built(x), layer(x))
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))
    there_and_back = copy.deepcopy(layer).half().double()
    assert torch.equal(there_and_back.forward_rows, SpectralConv2d(2, 2, 6, 16).double().forward_rows)
