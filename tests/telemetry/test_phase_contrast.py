"""Phase contrast against a weighted least-squares plane fit in numpy float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ptycho_mlf.telemetry.phase_contrast import PhaseContrastMeter

RNG = np.random.default_rng(5)
PROBE = RNG.normal(size=(2, 12, 12)) + 1j * RNG.normal(size=(2, 12, 12))
PROBE[:, 0] = 0  # Pixels without light.
Y, X = np.mgrid[:12, :12].astype(float)


def measured(phase: np.ndarray) -> float:
    meter = PhaseContrastMeter(torch.from_numpy(PROBE))
    for part in np.array_split(0.7 * np.exp(1j * phase), 2):
        meter.update(torch.from_numpy(part))
    return meter.result()


def defined(phase: np.ndarray) -> float:
    weight = (np.abs(PROBE) ** 2).sum(0)
    root = np.sqrt(weight / weight.sum()).ravel()
    planes = np.stack([np.ones(144), Y.ravel(), X.ravel()], 1)
    stds = []
    for patch in phase.reshape(-1, 144):
        fit, *_ = np.linalg.lstsq(planes * root[:, None], patch * root, rcond=None)
        stds.append(np.sqrt(np.sum((root * (patch - planes @ fit)) ** 2)))
    return float(np.mean(stds))


@pytest.mark.parametrize("channels", [1, 4])
def test_it_is_the_weighted_residual_of_a_plane(channels: int):
    phase = 0.3 * RNG.normal(size=(7, channels, 12, 12)) + 0.05 * Y - 0.03 * X
    assert measured(phase) == pytest.approx(defined(phase), rel=1e-10)


def test_neither_a_constant_near_pi_nor_a_plane_is_contrast():
    ripple = 0.01 * np.sin(X) * np.ones((3, 1, 1, 1))
    assert measured(np.pi + ripple) == pytest.approx(measured(ripple), rel=1e-9)
    assert measured(0.1 * Y - 0.2 * X + 2.0 * np.ones((3, 1, 1, 1))) < 1e-12


def test_nothing_has_no_contrast():
    with pytest.raises(ValueError, match="no patterns"):
        PhaseContrastMeter(torch.from_numpy(PROBE)).result()
    zero = PhaseContrastMeter(torch.from_numpy(PROBE))
    zero.update(torch.zeros(2, 1, 12, 12, dtype=torch.complex64))
    assert zero.result() == 0.0
