"""Every statistic against numpy on a toy network that plants what has to be found."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ptycho_mlf.config import ModelConfig
from ptycho_mlf.generators import build_generator, list_generators
from ptycho_mlf.telemetry.activation_statistics import LayerStatistics, hooked_layers, measure


class Operator(nn.Module):
    """Two parts side by side, as the branch of an operator block has them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spectral = nn.Conv2d(channels, channels, 3, padding=1)
        self.local = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.spectral(x) + self.local(x))


class Bounded(nn.Module):
    """A head between bounds; a large bias saturates it."""

    output_mode = "amp_phase"

    def __init__(self, channels: int, bias: float) -> None:
        super().__init__()
        self.amplitude, self.phase = nn.Conv2d(channels, 1, 1), nn.Conv2d(channels, 1, 1)
        nn.init.constant_(self.amplitude.bias, bias)
        nn.init.constant_(self.phase.bias, bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.polar(self.amplitude(x).sigmoid(), math.pi * self.phase(x).tanh())


class Toy(nn.Module):
    def __init__(self, bias: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.operator = Operator(6)
        self.drop = nn.Dropout(0.5)
        self.head = Bounded(6, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(self.operator(self.operator(self.first(x)))))


def toy(bias: float = 0.0) -> Toy:
    torch.manual_seed(3)
    return Toy(bias)


def images(count: int, H: int = 12, W: int = 9) -> Tensor:
    return torch.rand(count, 1, H, W, generator=torch.Generator().manual_seed(5))


def outputs(model: nn.Module, x: Tensor) -> dict[str, np.ndarray]:
    """What every call of every module puts out, in float64."""
    kept: dict[str, list[np.ndarray]] = {}
    handles = [
        module.register_forward_hook(lambda _m, _i, out, name=name: kept.setdefault(name, []).append(out.numpy()))
        for name, module in model.named_modules()
        if name
    ]
    with torch.no_grad():
        model.eval()(x)
    for handle in handles:
        handle.remove()
    return {
        name if call == 0 else f"{name}#{call + 1}": out.astype(np.result_type(out, np.float64))
        for name, calls in kept.items()
        for call, out in enumerate(calls)
    }


def oracle(x: np.ndarray) -> dict[str, float]:
    """The definitions, word for word."""
    magnitude, rms = np.abs(x), np.sqrt(np.mean(np.abs(x) ** 2))
    value = magnitude if np.iscomplexobj(x) else x
    energy = np.abs(np.fft.fft2(x)) ** 2
    fy, fx = np.meshgrid(np.fft.fftfreq(x.shape[2]), np.fft.fftfreq(x.shape[3]), indexing="ij")
    return {
        "mean": value.mean(),
        "std": value.std(),
        "rms": rms,
        "dead_channels": np.mean([channel.std() <= 1e-6 * rms for channel in x.swapaxes(0, 1)]),
        "low_frequency": energy[..., np.hypot(fy, fx) <= 1 / 8].sum() / energy.sum(),
    }


def by_name(layers: list[LayerStatistics]) -> dict[str, LayerStatistics]:
    return {layer.name: layer for layer in layers}


@pytest.mark.parametrize(("H", "W"), [(12, 9), (8, 8)])
@pytest.mark.parametrize("batch", [7, 3])
def test_every_statistic_is_what_numpy_gives(batch: int, H: int, W: int):
    """In one batch and in several: means, energies and dead channels do not depend on the batches."""
    model, x = toy(), images(7, H, W)
    with torch.no_grad():
        model.first.weight[2:4] = 0  # Two planted constant channels, one of them not zero.
        model.first.bias[2], model.first.bias[3] = 0.7, 0
    found, want = by_name(measure(model, x.split(batch))), outputs(model, x)
    assert found.keys() == want.keys()
    for name, layer in found.items():
        for statistic, value in oracle(want[name]).items():
            assert getattr(layer, statistic) == pytest.approx(value, rel=1e-5, abs=1e-7), (name, statistic)
        assert layer.shape == want[name].shape[1:]
    assert found["first"].dead_channels == pytest.approx(2 / 6)
    for suffix in ("", "#2"):
        ratio = found[f"operator.spectral{suffix}"].rms / found[f"operator.local{suffix}"].rms
        assert found[f"operator{suffix}"].spectral_local_ratio == pytest.approx(ratio)
    assert found["first"].spectral_local_ratio is None
    parts = [outputs(model, part) for part in x.split(batch)]
    weights = [len(part) / 7 for part in x.split(batch)]
    for name, layer in found.items():
        magnitudes = [np.abs(part[name]) for part in parts]
        for quantile, q in ((layer.p50, 0.5), (layer.p95, 0.95), (layer.p99, 0.99)):
            each = [np.sort(m.ravel()) for m in magnitudes]
            exact = [np.interp(q * (m.size - 1), np.arange(m.size), m) for m in each]
            assert quantile == pytest.approx(np.dot(weights, exact), rel=1e-5, abs=1e-9)
        sparse = [np.mean(m <= 0.01 * np.sqrt(np.mean(m**2))) for m in magnitudes]
        assert layer.sparsity == pytest.approx(np.dot(weights, sparse), abs=1e-3)


def test_a_saturated_head_is_named_and_no_other():
    found = measure(toy(bias=20.0), [images(4)])
    assert [layer.name for layer in found if layer.head_saturation is not None] == ["head"]
    assert by_name(found)["head"].head_saturation == 1.0
    free = by_name(measure(toy(), [images(4)]))["head"]
    object_ = outputs(toy(), images(4))["head"]
    amplitude, phase = np.abs(object_), np.abs(np.angle(object_)) / np.pi
    want = (np.mean((amplitude < 0.01) | (amplitude > 0.99)) + np.mean(phase > 0.99)) / 2
    assert free.head_saturation == pytest.approx(want)


def test_zero_and_nonfinite_outputs():
    model = toy()
    with torch.no_grad():
        model.first.weight.zero_()
        model.first.bias.zero_()
        model.operator.local.bias[0] = math.inf
    found = by_name(measure(model, [images(3)]))
    first = found["first"]
    assert (first.rms, first.dead_channels, first.sparsity, first.low_frequency) == (0, 1, 1, None)
    local = found["operator.local"]
    assert local.nonfinite == pytest.approx(1 / 6)
    assert math.isnan(local.p50)


def test_a_constant_channel_far_from_zero_is_dead_and_a_faint_one_is_not():
    """Sums of squares would lose both in rounding."""
    x = torch.full((4, 2, 8, 8), 1000.1)
    x[:, 1] += 0.01 * images(4, 8, 8)[:, 0]  # 3e-6 of the RMS.
    (layer,) = measure(_Pass(), [x])
    assert layer.dead_channels == 0.5


class _Pass(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.only(x)


def test_the_network_is_left_as_it_was():
    model = toy()
    model.head.eval()
    before = torch.random.get_rng_state()
    measure(model, [images(2)])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert model.training
    assert model.drop.training
    assert not model.head.training
    assert all(not module._forward_hooks for module in model.modules())
    with pytest.raises(RuntimeError):
        measure(model, [torch.rand(2, 3, 8, 8)])
    assert model.drop.training
    assert all(not module._forward_hooks for module in model.modules())
    with pytest.raises(ValueError, match="no batch"):
        measure(model, [])


@pytest.mark.parametrize("architecture", list_generators())
def test_every_architecture_is_covered_place_by_place(architecture: str):
    model = build_generator(ModelConfig(architecture=architecture, fno_blocks=3, width=4, modes=4), 16, 1, 0)
    layers = measure(model, [torch.rand(3, 1, 16, 16)])
    names = {layer.name for layer in layers}
    assert {name.partition("#")[0] for name in names} == hooked_layers(model).keys()
    leaves = {name for name, module in model.named_modules() if list(module.parameters(recurse=False))}
    assert leaves <= names
    assert {"lifter", "head"} <= names
    ratios = [layer.name for layer in layers if layer.spectral_local_ratio is not None]
    assert (len(ratios) > 0) == (architecture not in ("ffno", "cnn"))
    if architecture == "ffno":
        assert {"body.spectral.0", "body.spectral.0#2", "body.mixer.1", "body.refiner.0.branch"} <= names
    if architecture == "cnn":
        assert {"body.encoder.0", "body.encoder.0.attention.channel.squeeze#2", "head.amplitude.ring_up"} <= names
    if architecture == "hybrid_resnet":
        assert {"body.encoder.2.branch", "body.resnet.5", "body.gate#6", "body.decoder.1.up"} <= names
    if architecture in ("hybrid", "stable_hybrid"):
        assert {"body.encoder.1.branch", "body.bottleneck.branch", "body.decoder.0", "body.down.0"} <= names
    for layer in layers:
        for field in fields(layer):
            value = getattr(layer, field.name)
            assert not isinstance(value, float) or math.isfinite(value), (layer.name, field.name)


def test_bfloat16_is_looked_at_in_single_precision():
    x = images(2, 8, 8)
    half, full = (measure(_Pass(), [x.to(dtype)])[0] for dtype in (torch.bfloat16, torch.float32))
    assert half.rms == pytest.approx(full.rms, rel=1e-2)
