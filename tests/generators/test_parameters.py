"""Counts from the closed form of the topology, unit axes, and the names of the head."""

from typing import get_args

import pytest
import torch
from torch import nn

from ptycho_mlf.config import ModelConfig
from ptycho_mlf.config.model import Architecture
from ptycho_mlf.generators import build_generator, count_parameters, head_parameters, unit_axes

ARCHITECTURES = get_args(Architecture)
BOTH = ("weight", "bias")

# architecture, settings, N, channels -> numel (complex once), reals (complex twice)
COUNTS = [
    ("hybrid", {"fno_blocks": 3}, 64, 1, 5_585_122, 10_598_626),
    ("hybrid", {"fno_blocks": 4}, 64, 1, 11_386_082, 20_462_818),
    ("hybrid", {"fno_blocks": 5}, 64, 1, 22_004_962, 34_751_714),
    ("hybrid", {"fno_blocks": 6}, 64, 1, 55_039_202, 73_028_834),
    ("hybrid", {"fno_blocks": 6, "max_hidden_channels": 512}, 64, 1, 32_493_282, 44_191_458),
    ("hybrid", {"fno_blocks": 7}, 64, 1, 170_390_754, 192_574_690),
    ("hybrid", {"fno_blocks": 4}, 128, 1, 22_658_274, 43_007_202),
    ("hybrid", {"fno_blocks": 6}, 128, 1, 88_331_490, 139_613_410),
    ("stable_hybrid", {"residual": "zero_gamma"}, 64, 1, 11_387_554, 20_464_290),
    ("stable_hybrid", {}, 64, 1, 11_388_290, 20_465_026),
    ("fno", {}, 64, 1, 1_245_826, 2_425_474),
    ("fno", {}, 64, 4, 1_246_888, 2_426_536),
    ("fno_vanilla", {}, 64, 1, 1_226_274, 2_405_922),
    ("hybrid", {"fno_blocks": 3, "spectral": "one_sided"}, 64, 1, 4_258_018, 7_944_418),
    ("hybrid", {"fno_blocks": 5, "spectral": "one_sided"}, 64, 1, 68_977_890, 128_697_570),
    ("hybrid", {"fno_blocks": 6, "spectral": "one_sided"}, 64, 1, 276_075_746, 515_101_922),
    (
        "hybrid",
        {"fno_blocks": 6, "spectral": "one_sided", "max_hidden_channels": 512},
        64,
        1,
        118_263_522,
        215_731_938,
    ),
    ("hybrid", {"fno_blocks": 7, "spectral": "one_sided"}, 64, 1, 1_104_458_978, 2_060_711_138),
    ("hybrid", {"fno_blocks": 8, "spectral": "one_sided"}, 128, 1, 4_417_975_522, 8_243_131_618),
    (
        "hybrid",
        {"fno_blocks": 8, "spectral": "one_sided", "max_hidden_channels": 512},
        128,
        1,
        216_834_786,
        389_800_674,
    ),
    ("stable_hybrid", {"spectral": "one_sided", "residual": "zero_gamma"}, 64, 1, 17_203_874, 32_096_930),
    ("stable_hybrid", {"spectral": "one_sided"}, 64, 1, 17_204_610, 32_097_666),
    ("fno", {"spectral": "one_sided"}, 64, 4, 657_064, 1_246_888),
    ("ffno", {}, 64, 1, 88_227, 112_803),
    ("ffno", {"fno_blocks": 24}, 64, 1, 173_347, 197_923),
    # Two_sided at N=64; less the 12 c + c/2 + c/4 biases in front of norms, one_sided, 7,784,579 (c = 128).
    ("hybrid_resnet", {"spectral": "one_sided"}, 64, 1, 7_784_579, 13_240_451),
]


def on_meta(model, N, channels):
    with torch.device("meta"):
        return build_generator(model, N, channels, seed=0)


def small(architecture, **settings):
    return ModelConfig(architecture=architecture, width=6, modes=4, fno_blocks=3, **settings)


@pytest.mark.parametrize(("architecture", "settings", "N", "channels", "numel", "real"), COUNTS)
def test_counts(architecture, settings, N, channels, numel, real):
    count = count_parameters(on_meta(ModelConfig(architecture=architecture, **settings), N, channels))
    assert (count.numel, count.real) == (numel, real)
    assert 0 < count.live < count.real


def test_live_parameters_of_one_sided_hybrid_are_half_of_the_spectral_ones():
    """14.9 M modes are held; 7.1 M exist at their resolutions, less self-conjugate imaginary parts."""
    count = count_parameters(on_meta(ModelConfig(architecture="hybrid", spectral="one_sided"), 64, 1))
    spectral = count.real - count.numel
    assert spectral == pytest.approx(14.9e6, rel=5e-3)
    usable = 144 * 32**2 + 144 * 64**2 + 108 * 128**2 + 40 * 256**2 + 30 * 256**2
    assert usable == pytest.approx(7.1e6, rel=5e-3)
    # Self-conjugate among them: (0, 0) of the first two levels, two rows x two columns below.
    conjugate = 32**2 + 64**2 + 4 * 128**2 + 4 * 256**2 + 4 * 256**2
    assert count.live == count.real - 2 * spectral + 2 * usable - conjugate


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_live_parameters_are_those_that_receive_a_gradient(architecture):
    """Measured on double precision, where no gradient is rounded to zero."""
    N = 32 if architecture == "cnn" else 16
    generator = build_generator(small(architecture), N, 1, seed=0).double()
    if architecture == "cnn":
        for name, bias in generator.named_parameters():
            if name.endswith("bias"):
                nn.init.ones_(bias)  # No ReLU is shut for all patterns.
    y = generator(torch.rand(4, 1, N, N, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    (torch.view_as_real(y) * torch.randn(*y.shape, 2, dtype=torch.float64)).sum().backward()
    alive = sum(int((p.grad != 0).sum()) for p in generator.parameters() if p.grad is not None)
    assert alive == count_parameters(generator).live


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_parameter_has_a_unit_axis(architecture):
    for output_mode in ("real_imag", "amp_phase"):
        generator = build_generator(small(architecture, output_mode=output_mode), 32, 1, seed=0)
        axes = unit_axes(generator)
        assert list(axes) == [name for name, _ in generator.named_parameters()]
        for name, parameter in generator.named_parameters():
            if parameter.ndim < 2:
                expected = None
            elif name.endswith("up.weight"):
                expected = 1
            elif "spectral" in name:
                expected = 2
            else:
                expected = 0
            assert axes[name] == expected, name


def test_axis_of_a_spectral_unit_is_its_output_channel():
    generator = build_generator(small("fno"), 32, 1, seed=0)
    name = "body.0.branch.spectral.weight"
    spectral = generator.get_submodule("body.0.branch.spectral")
    spectral.weight.data[:, :, 2] = 0
    assert unit_axes(generator)[name] == 2
    assert torch.all(spectral(torch.randn(1, 6, 32, 32))[:, 2] == 0)


class Undeclared(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(2, 3), nn.Bilinear(1, 1, 1))


def test_linear_units_are_outputs():
    assert unit_axes(nn.Sequential(nn.Linear(2, 3))) == {"0.weight": 0, "0.bias": None}


def test_a_parameter_without_declaration_is_an_error():
    with pytest.raises(ValueError, match=r"inner\.1\.weight: Bilinear declares no unit axis for 'weight'"):
        unit_axes(Undeclared())


def test_head_of_the_cnn_is_its_last_convolutions():
    both, window = (build_generator(small("cnn", probe_big=big), 32, 1, seed=0) for big in (True, False))
    names = {f"head.{part}.{conv}.{p}" for part in ("amplitude", "phase") for conv in ("window", "ring") for p in BOTH}
    assert head_parameters(both) == names
    assert head_parameters(window) == {name for name in names if "ring" not in name}


@pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - {"cnn"}))
def test_head_names(architecture):
    plain, bounded = (
        build_generator(small(architecture, output_mode=mode), 32, 1, seed=0) for mode in ("real_imag", "amp_phase")
    )
    assert head_parameters(plain) == {"head.projection.weight", "head.projection.bias"}
    assert head_parameters(bounded) == {f"head.{n}.{p}" for n in ("amplitude", "phase") for p in ("weight", "bias")}
    assert head_parameters(nn.ModuleDict({"generator": plain})) == {
        "generator.head.projection.weight",
        "generator.head.projection.bias",
    }


def test_shared_and_complex_parameters_count_as_they_should():
    linear = nn.Linear(3, 2, bias=False)
    assert count_parameters(nn.Sequential(linear, linear)).numel == 6
    holder = nn.Module()
    holder.register_parameter("w", nn.Parameter(torch.zeros(5, dtype=torch.complex64)))
    count = count_parameters(holder)
    assert (count.numel, count.real, count.live) == (5, 10, 10)
