"""What every generator promises: shapes, ranges, seeds, limits, and that each setting acts."""

import copy
import math
from typing import get_args

import pytest
import torch

from ptycho_mlf.config import InputError, ModelConfig
from ptycho_mlf.config.model import Architecture
from ptycho_mlf.generators import build_generator, count_parameters, generator_info, list_generators
from ptycho_mlf.generators.input_transform import InputTransform
from ptycho_mlf.generators.registry import register

ARCHITECTURES = get_args(Architecture)
every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)
with_output_mode = pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "cnn"])


def small(architecture="stable_hybrid", **settings):
    return ModelConfig(**{"architecture": architecture, "width": 6, "modes": 4, "fno_blocks": 3, **settings})


def on_meta(model, N, channels=1):
    with torch.device("meta"):
        return build_generator(model, N, channels, seed=0)


def amplitudes(B, C, N, seed=0):
    return torch.rand(B, C, N, N, generator=torch.Generator().manual_seed(seed))


def test_registry_holds_the_architectures_of_the_config():
    assert sorted(ARCHITECTURES) == list_generators()
    assert list_generators("*hybrid") == ["hybrid", "stable_hybrid"]
    assert list_generators("no such") == []


def test_registry_knows_about_them():
    infos = {name: generator_info(name) for name in list_generators()}
    assert {name for name, info in infos.items() if info.u_shaped} == {"hybrid", "stable_hybrid"}
    assert {name for name, info in infos.items() if info.normalised} == {"stable_hybrid", "ffno", "hybrid_resnet"}
    assert {name for name, info in infos.items() if info.family == "convolutional"} == {"cnn"}
    assert all(info.name == name and info.summary and info.source for name, info in infos.items())
    with pytest.raises(InputError, match="architecture=unet: must be one of cnn, ffno, fno"):
        generator_info("unet")
    with pytest.raises(ValueError, match="'fno' is registered twice"):
        register("fno", summary="", source="")(infos["fno"].body)


@every_architecture
@pytest.mark.parametrize(("N", "C", "B"), [(32, 1, 2), (48, 4, 1)])
def test_complex_object_of_the_shape_of_the_input(architecture, N, C, B):
    y = build_generator(small(architecture), N, C, seed=0)(amplitudes(B, C, N))
    assert y.shape == (B, C, N, N)
    assert y.dtype == torch.complex64
    assert y.is_contiguous()
    assert torch.view_as_real(y).std() > 0


@every_architecture
@pytest.mark.parametrize("C", [1, 4])
def test_body_works_on_channels_last_memory(architecture, C):
    """Slow otherwise: every convolution and spectral layer would reorder its input."""
    generator = build_generator(small(architecture), 32, C, seed=0)
    lifted = generator.lifter(amplitudes(2, C, 32))
    assert lifted.is_contiguous(memory_format=torch.channels_last)
    assert generator.body(lifted).is_contiguous(memory_format=torch.channels_last)


@with_output_mode
@pytest.mark.parametrize("output_mode", ["real_imag", "amp_phase", "amp_phase_logits"])
def test_ranges_of_the_output_modes(architecture, output_mode):
    generator = build_generator(small(architecture, output_mode=output_mode), 16, 4, seed=0)
    assert generator.output_mode == output_mode
    with torch.no_grad():
        for p in generator.head.parameters():
            p.mul_(300)
        y = generator(amplitudes(8, 4, 16))
    if output_mode == "real_imag":
        assert y.abs().max() > 2
    else:
        assert y.abs().max() <= 1 + 1e-6
        assert y.abs().max() > 0.9
        assert y.abs().min() < 0.1
        assert y.angle().abs().max() > 0.9 * math.pi


def test_output_modes_read_the_same_logits():
    """real_imag gives (a, b); amp_phase_logits must be sigmoid(a) exp(i pi tanh(b)) of the same weights."""
    x = amplitudes(2, 4, 16)
    plain, bounded = (
        build_generator(small(output_mode=mode), 16, 4, seed=0)(x) for mode in ("real_imag", "amp_phase_logits")
    )
    expected = torch.sigmoid(plain.real) * torch.exp(1j * math.pi * torch.tanh(plain.imag))
    torch.testing.assert_close(bounded, expected)


def test_output_channels_are_real_parts_then_imaginary_parts():
    generator = build_generator(small(), 16, 4, seed=0)
    with torch.no_grad():
        generator.head.projection.weight.zero_()
        generator.head.projection.bias.copy_(torch.arange(8.0))
        y = generator(amplitudes(1, 4, 16))
    torch.testing.assert_close(y[0, :, 0, 0], torch.complex(torch.arange(4.0), torch.arange(4.0, 8.0)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", [-1.0, 0.0, 3.0, 8.0]),
        ("sqrt", [0.0, 0.0, math.sqrt(3), math.sqrt(8)]),
        ("log1p", [0.0, 0.0, math.log(4), math.log(9)]),
        ("instance_norm", [(v - 2.5) / math.sqrt(12.25 + 1e-6) for v in (-1.0, 0.0, 3.0, 8.0)]),
    ],
)
def test_input_transforms(name, expected):
    x = torch.tensor([[-1.0, 0.0], [3.0, 8.0]])[None, None]
    torch.testing.assert_close(InputTransform(name)(x).flatten(), torch.tensor(expected))


@every_architecture
@pytest.mark.parametrize("transform", ["none", "sqrt", "log1p", "instance_norm"])
def test_input_transform_is_what_the_network_sees(architecture, transform):
    x = amplitudes(2, 4, 16)
    seen = InputTransform(transform)(x)
    with_transform = build_generator(small(architecture, input_transform=transform), 16, 4, seed=0)
    without = build_generator(small(architecture), 16, 4, seed=0)
    torch.testing.assert_close(with_transform(x), without(seen), rtol=1e-4, atol=1e-5)


@every_architecture
def test_a_pattern_is_predicted_alone_as_in_a_batch(architecture):
    generator = build_generator(small(architecture), 32, 1, seed=0).eval()
    x = amplitudes(16, 1, 32)
    with torch.no_grad():
        together, alone = generator(x), torch.cat([generator(one) for one in x.split(1)])
    assert ((together - alone).abs().max() / together.abs().max()).item() < 2e-5


@every_architecture
def test_seed_decides_every_weight_and_leaves_the_global_state_alone(architecture):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again, other = (build_generator(small(architecture), 32, 1, seed=s) for s in (2**62 + 1, 2**62 + 1, 8))
    assert torch.equal(torch.random.get_rng_state(), before)
    for (name, a), b in zip(first.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b), name
    x = amplitudes(1, 1, 32)
    assert not torch.allclose(first(x), other(x), rtol=0.01)


@every_architecture
def test_copies_and_checkpoints_predict_the_same(architecture):
    generator = build_generator(small(architecture), 32, 1, seed=0)
    other = build_generator(small(architecture), 32, 1, seed=1)
    other.load_state_dict(generator.state_dict())
    x = amplitudes(2, 1, 32)
    assert torch.equal(other(x), generator(x))
    assert torch.equal(copy.deepcopy(generator)(x), generator(x))
    assert all(t.is_contiguous() for t in generator.state_dict().values())
    storages = [t.untyped_storage().data_ptr() for t in generator.state_dict().values()]
    assert len(set(storages)) == len(storages)


@every_architecture
def test_half_precision_keeps_a_single_precision_object(architecture):
    generator = build_generator(small(architecture), 32, 1, seed=0)
    x = amplitudes(2, 1, 32)
    exact = generator(x)
    with torch.autocast("cpu", torch.bfloat16):
        y = generator(x)
    assert y.dtype == torch.complex64
    assert (y - exact).abs().max() < 0.05 * exact.abs().max()
    torch.view_as_real(y).square().sum().backward()


@every_architecture
@pytest.mark.parametrize("shape", [(2, 1, 16, 16), (2, 4, 32, 32), (1, 32, 32), (2, 1, 32, 16)])
def test_another_shape_is_an_error(architecture, shape):
    with pytest.raises(ValueError, match=r"was built for \(B, 1, 32, 32\)"):
        build_generator(small(architecture), 32, 1, seed=0)(torch.zeros(shape))


@pytest.mark.parametrize(
    ("architecture", "N", "deepest"),
    [
        ("hybrid", 32, 6),
        ("hybrid", 64, 7),
        ("hybrid", 128, 8),
        ("stable_hybrid", 32, 5),
        ("stable_hybrid", 64, 6),
        ("stable_hybrid", 128, 7),
        ("stable_hybrid", 48, 5),
    ],
)
def test_depth_limits(architecture, N, deepest):
    on_meta(small(architecture, fno_blocks=deepest, max_hidden_channels=8), N)
    too_deep = small(architecture, fno_blocks=deepest + 1)
    message = f"fno_blocks={deepest + 1}: {architecture} at N={N} holds at most {deepest} levels"
    with pytest.raises(InputError, match=message):
        too_deep.check(N)
    with pytest.raises(InputError, match=message):
        build_generator(too_deep, N, 1, seed=0)


@pytest.mark.parametrize(("architecture", "N", "deepest"), [("hybrid", 16, 5), ("stable_hybrid", 16, 4)])
def test_deepest_network_trains(architecture, N, deepest):
    generator = build_generator(small(architecture, fno_blocks=deepest, width=4), N, 1, seed=0).train()
    torch.view_as_real(generator(amplitudes(1, 1, N))).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in generator.parameters())


@pytest.mark.parametrize(
    ("base", "change"),
    [
        ({"architecture": "hybrid", "fno_blocks": 4}, {"max_hidden_channels": 32}),
        ({"architecture": "fno"}, {"cnn_blocks": 3}),
        ({"architecture": "fno"}, {"spectral": "one_sided"}),
        ({"architecture": "fno_vanilla"}, {"modes": 5}),
        ({"architecture": "fno_vanilla"}, {"width": 7}),
        ({"architecture": "stable_hybrid"}, {"residual": "zero_gamma"}),
        ({"architecture": "ffno"}, {"ffno_weights": "per_block"}),
        ({"architecture": "ffno"}, {"ffno_gate": "per_block"}),
        ({"architecture": "ffno"}, {"cnn_blocks": 0}),
        ({"architecture": "hybrid_resnet"}, {"resnet_blocks": 5}),
        ({"architecture": "hybrid_resnet"}, {"resnet_width": 12}),
        ({"architecture": "hybrid_resnet"}, {"resnet_downsample": "avg_pool"}),
        ({"architecture": "hybrid_resnet"}, {"resnet_skips": "add"}),
        ({"architecture": "hybrid_resnet", "resnet_skips": "add"}, {"resnet_skips": "gated_add"}),
        ({"architecture": "hybrid_resnet", "resnet_skips": "add"}, {"resnet_skips": "concat"}),
        ({"architecture": "hybrid_resnet"}, {"fno_blocks": 4}),
        ({"architecture": "cnn"}, {"cbam": False}),
        ({"architecture": "cnn"}, {"probe_big": False}),
        ({"architecture": "cnn"}, {"width": 7}),
    ],
)
def test_settings_change_the_network(base, change):
    counts = [count_parameters(on_meta(small(**settings), 32)).real for settings in (base, base | change)]
    assert counts[0] != counts[1]


def test_layerscale_init_sets_the_scale():
    generator = build_generator(small(layerscale_init=0.25), 32, 1, seed=0)
    scales = [p for name, p in generator.named_parameters() if name.endswith("layerscale")]
    assert len(scales) == 4
    assert all(torch.all(s == 0.25) for s in scales)


def test_ffno_block_is_a_gated_residual():
    """One block without refiners, written out: x + 0.1 project(GELU(expand(IN(along x + along y))))."""
    body = build_generator(small("ffno", fno_blocks=1, cnn_blocks=0), 16, 1, seed=0).body
    x = torch.randn(2, 6, 16, 16)
    mixer = body.mixer[0]
    spectra = body.spectral[0].along_x(x) + body.spectral[0].along_y(x)
    normed = torch.nn.functional.instance_norm(spectra, eps=1e-5)
    branch = mixer.project(torch.nn.functional.gelu(mixer.expand(normed)))
    torch.testing.assert_close(body(x), x + 0.1 * branch)


def test_ffno_blocks_of_their_own_are_all_used():
    settings = {"ffno_weights": "per_block", "ffno_gate": "per_block"}
    generator = build_generator(small("ffno", **settings), 16, 1, seed=0)
    generator(amplitudes(2, 1, 16)).abs().sum().backward()
    own = {name: p for name, p in generator.body.named_parameters() if name.startswith(("spectral", "gate"))}
    assert len(own) == 3 * (2 + 1)
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in own.values())
