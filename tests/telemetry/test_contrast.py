"""Contrast against its definition in numpy float64, and saturation against constructed heads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ptycho_mlf.telemetry.contrast import BatchContrast, ContrastMeter, head_saturation

RNG = np.random.default_rng(3)
PROBE = RNG.normal(size=(2, 8, 8)) + 1j * RNG.normal(size=(2, 8, 8))


def measured(amplitude: np.ndarray, pieces: int = 3):
    meter = ContrastMeter(torch.from_numpy(PROBE))
    for part in np.array_split(amplitude, pieces):
        meter.update(torch.from_numpy(part))
    return meter.result()


def defined(amplitude: np.ndarray) -> tuple[float, float]:
    weight = (np.abs(PROBE) ** 2).sum(0)
    weight = weight / weight.sum()
    mean = (weight * amplitude).sum((-2, -1))
    std = np.sqrt((weight * (amplitude - mean[..., None, None]) ** 2).sum((-2, -1)))
    cross = (weight * amplitude.std(0)).sum((-2, -1)).sum() / (weight * amplitude.mean(0)).sum((-2, -1)).sum()
    return (std / mean).mean(), cross


@pytest.mark.parametrize("channels", [1, 4])
def test_contrast_is_its_definition(channels: int):
    amplitude = RNG.uniform(0.5, 1.5, size=(17, channels, 8, 8))
    contrast = measured(amplitude)
    np.testing.assert_allclose((contrast.spatial, contrast.cross_pattern), defined(amplitude), rtol=1e-12)


def test_a_nearly_constant_output_does_not_cancel():
    amplitude = 0.7 * (1 + 1e-9 * RNG.normal(size=(40, 1, 8, 8)))
    contrast = measured(amplitude)
    np.testing.assert_allclose((contrast.spatial, contrast.cross_pattern), defined(amplitude), rtol=1e-5)


def test_the_same_picture_for_every_pattern_varies_in_space_only():
    amplitude = np.broadcast_to(RNG.uniform(0.5, 1.5, size=(1, 1, 8, 8)), (9, 1, 8, 8)).copy()
    contrast = measured(amplitude)
    assert contrast.spatial > 0.1
    assert contrast.cross_pattern == 0.0


def test_an_all_zero_output_has_no_contrast():
    contrast = measured(np.zeros((4, 1, 8, 8)))
    assert (contrast.spatial, contrast.cross_pattern) == (0.0, 0.0)


def test_saturation_counts_outputs_at_a_bound():
    amplitude = torch.tensor([0.001, 0.5, 0.999, 0.5])
    phase = torch.tensor([0.0, 3.14, 0.0, 1.0])
    share = head_saturation(torch.polar(amplitude, phase).view(1, 1, 2, 2), "amp_phase")
    assert share is not None
    assert share.item() == pytest.approx((0.5 + 0.25) / 2)
    assert head_saturation(torch.ones(1, 1, 2, 2, dtype=torch.complex64), "real_imag") is None
    # An amplitude without an upper bound has none to be at; every one of these phases but one is within its bounds.
    phases = torch.polar(torch.tensor([0.0, 1.0, 50.0, 2.0]), torch.tensor([0.0, 3.0, torch.pi, -2.0]))
    assert head_saturation(phases.view(1, 1, 2, 2), "silu_phase") == 0.25


@pytest.mark.parametrize("channels", [1, 4])
def test_contrast_within_a_batch_is_the_same_definition(channels: int):
    amplitude = RNG.uniform(0.5, 1.5, size=(5, channels, 8, 8))
    turned = torch.from_numpy(amplitude * np.exp(1j * RNG.normal(size=amplitude.shape)))
    spatial, cross = BatchContrast(torch.from_numpy(PROBE))(turned)
    np.testing.assert_allclose((spatial.item(), cross.item()), defined(amplitude), rtol=1e-12)
    spatial, cross = BatchContrast(torch.from_numpy(PROBE))(turned[:1])
    assert spatial.item() == pytest.approx(defined(amplitude[:1])[0])
    assert cross.isnan()
