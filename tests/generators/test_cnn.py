"""The convolutional baseline: its channels, its attention, its window, and an amplitude that can leave zero."""

import math

import pytest
import torch
from torch.nn.functional import conv2d, silu

from ptycho_mlf.config import ImpossibleGeometryError, InputError, ModelConfig
from ptycho_mlf.generators import build_generator
from ptycho_mlf.generators.cbam import Cbam
from ptycho_mlf.generators.cnn import decoder_channels, encoder_channels
from ptycho_mlf.generators.window_head import WindowHead


def cnn(N=32, C=1, seed=0, **settings):
    return build_generator(ModelConfig(architecture="cnn", width=4, **settings), N, C, seed)


def amplitudes(B, C, N):
    return torch.rand(B, C, N, N, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("N", "encoder", "decoder"),
    [
        (16, [256], [256]),
        (32, [128, 256], [256, 64]),
        (48, [128, 256], [256, 64]),
        (64, [64, 128, 256], [256, 128, 64]),
        (128, [32, 64, 128, 256], [256, 256, 128, 64]),
        (256, [16, 32, 64, 128, 256], [256, 512, 256, 128, 64]),
    ],
)
def test_channels_of_the_stages(N, encoder, decoder):
    assert encoder_channels(32, N) == encoder
    assert decoder_channels(32, N) == decoder
    with torch.device("meta"):
        model = build_generator(ModelConfig(architecture="cnn"), N, 1, seed=0)
        assert model(torch.zeros(1, 1, N, N)).shape == (1, 1, N, N)
    assert model.lifter.lift.weight.shape[0] == encoder[0]
    assert model.head.amplitude.window.weight.shape[1] == decoder[-1] - 1


def test_attention_is_that_of_the_paper():
    """Every step written out in float64, pixel by pixel where it is short."""
    torch.manual_seed(0)
    attention = Cbam(32).double()
    x = torch.randn(3, 32, 8, 8, dtype=torch.float64)

    def mlp(v):
        channel = attention.channel
        hidden = (v @ channel.squeeze.weight.T + channel.squeeze.bias).clamp(min=0)
        assert hidden.shape[1] == 2
        return hidden @ channel.expand.weight.T + channel.expand.bias

    gate = 1 / (1 + torch.exp(-(mlp(x.flatten(2).mean(2)) + mlp(x.flatten(2).max(2).values))))
    y = x * gate[..., None, None]
    maps = torch.stack([y.max(1).values, y.sum(1) / 32], 1)
    spatial = conv2d(maps, attention.spatial.compress.weight, padding=3)
    torch.testing.assert_close(attention(x), y / (1 + torch.exp(-spatial)))


def test_a_decoder_of_its_own_for_amplitude_and_phase():
    model, x = cnn(), amplitudes(2, 1, 32)
    before = model(x)
    with torch.no_grad():
        for parameter in model.body.decoder.phase.parameters():
            parameter.zero_()
    after = model(x)
    torch.testing.assert_close(after.abs(), before.abs())
    assert not torch.allclose(after.angle(), before.angle())


def test_the_ring_reads_the_spare_channels_and_nothing_else():
    head = WindowHead(10, 4, "silu_phase", ring_channels=6)
    x = torch.randn(2, 20, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        changed = x.clone()
        changed[:, 6:10] += 1  # What is spare for the amplitude: C channels of ten.
        changed[:, :6] += 1
        spare = x.clone()
        spare[:, 6:10] += 1
        difference = head(spare) - head(x)
        window = (head(changed) - head(spare)).abs().sum((0, 1))
    assert difference[..., :4, :].abs().max() > 1e-3  # The border changes with the spare channels,
    assert window[4:12, 4:12].min() > 0  # and the other channels change the window
    window[4:12, 4:12] = 0
    assert window.max() == 0  # but nothing around it.


@pytest.mark.parametrize("N", [16, 32])
@pytest.mark.parametrize("amplitude", ["silu", "sigmoid"])
def test_a_window_has_zeros_around_it(N, amplitude):
    y = cnn(N, 4, probe_big=False, cnn_amplitude=amplitude)(amplitudes(2, 4, N)).detach()
    window = ModelConfig(architecture="cnn", probe_big=False).window(N)
    inside = torch.zeros(N, N, dtype=torch.bool)
    inside[window, window] = True
    assert inside.sum() == N * N / 4
    assert (y[..., ~inside] == 0).all()
    assert (y[..., inside].abs() > 0).all()
    assert (cnn(N, 4, cnn_amplitude=amplitude)(amplitudes(2, 4, N)).abs() > 0).all()


def test_amplitude_and_phase_of_the_head():
    """One number per pixel goes through silu or sigmoid, and pi tanh: all else is set to pass it on."""
    logits = torch.linspace(-6, 6, 16, dtype=torch.float64).view(1, 1, 4, 4)
    features = torch.cat([logits, 0 * logits, logits.flip(-1) / 4, 0 * logits], 1)
    for mode, activation in (("silu_phase", silu), ("amp_phase", torch.sigmoid)):
        head = WindowHead(2, 1, mode, ring_channels=0).double()
        with torch.no_grad():
            for part in (head.amplitude, head.phase):
                part.window.weight.zero_()
                part.window.weight[0, 0, 1, 1] = 1
                part.window.bias.zero_()
        y = head(features)[..., 2:6, 2:6]
        phase = math.pi * torch.tanh(logits.flip(-1) / 4)
        torch.testing.assert_close(y, activation(logits) * torch.exp(1j * phase))


def test_a_negative_amplitude_has_the_right_gradient():
    """torch.polar would take it for positive, and send it the wrong way."""
    head = WindowHead(3, 1, "silu_phase", ring_channels=0).double()
    torch.nn.init.constant_(head.amplitude.window.bias, -0.5)
    torch.nn.init.zeros_(head.amplitude.window.weight)
    features = torch.randn(1, 6, 2, 2, dtype=torch.float64)
    target = torch.randn(1, 1, 4, 4, dtype=torch.complex128)

    def loss(bias):
        with torch.no_grad():
            head.amplitude.window.bias.fill_(bias)
        return (head(features) - target).abs().square().sum()

    value = loss(-0.5)
    (slope,) = torch.autograd.grad(value, head.amplitude.window.bias)
    assert slope.item() == pytest.approx(((loss(-0.5 + 1e-6) - loss(-0.5 - 1e-6)) / 2e-6).item(), rel=1e-5)


@pytest.mark.parametrize("probe_big", [True, False])
def test_the_amplitude_starts_on_the_rising_side_of_silu(probe_big):
    """Below zero it would end in the minimum, where the gradient vanishes: half of all seeds did."""
    for seed in range(4):
        y = cnn(seed=seed, probe_big=probe_big)(amplitudes(4, 1, 32))
        window = y[..., 8:24, 8:24]
        assert window.abs().mean().item() == pytest.approx(silu(torch.tensor(1.0)).item(), abs=0.2)
        assert window.angle().abs().max() < 1  # A negative amplitude would show as a phase of pi.


@pytest.mark.parametrize(
    ("settings", "N", "C", "error", "message"),
    [
        ({}, 18, 1, ImpossibleGeometryError, "N=18: must be a multiple of 4 for a cnn of this size"),
        ({}, 66, 1, ImpossibleGeometryError, "N=66: must be a multiple of 8 for a cnn of this size"),
        ({"width": 5}, 256, 1, InputError, "width=5: the cnn at N=256 needs a multiple of 2"),
        ({"width": 2}, 32, 4, InputError, "width=2: the cnn needs at least 3 for groups of 4"),
    ],
)
def test_what_cannot_be_is_refused(settings, N, C, error, message):
    model = ModelConfig(architecture="cnn", **settings)
    with pytest.raises(error) as refused:
        build_generator(model, N, C, seed=0)
    assert str(refused.value) == message
