"""The far field against a matrix DFT, and counting against Poisson statistics."""

import numpy as np
import pytest

from ptycho_mlf.config import DataConfig
from ptycho_mlf.simulation import scan_grid as grid_module
from ptycho_mlf.simulation.diffraction import diffraction_amplitudes, far_field_intensity
from ptycho_mlf.simulation.photon_noise import photon_counter
from ptycho_mlf.simulation.scan_grid import scan_grid


def _complex(rng, *shape):
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def test_far_field_is_the_centred_unitary_dft_and_keeps_energy():
    N = 16
    psi = _complex(np.random.default_rng(0), 3, 4, N, N)
    k, x = np.arange(N) - N // 2, np.arange(N)
    dft = np.exp(-2j * np.pi * np.outer(k, x) / N) / np.sqrt(N)
    expected = np.abs(dft @ psi @ dft.T) ** 2
    intensity = far_field_intensity(psi)
    np.testing.assert_allclose(intensity, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(intensity.sum(axis=(2, 3)), (np.abs(psi) ** 2).sum(axis=(2, 3)), rtol=1e-12)


@pytest.mark.parametrize("gridsize", [1, 2])
def test_counts_do_not_depend_on_the_blocks(monkeypatch, gridsize):
    rng = np.random.default_rng(1)
    data = DataConfig(N=16, size=40, gridsize=gridsize, nimgs_train=2)
    scan = (_complex(rng, 2, 40, 40), _complex(rng, 16, 16), scan_grid(data, "train"), gridsize, 30.0)
    whole = diffraction_amplitudes(*scan, photon_counter(data, "train"))
    assert whole.shape == (scan_grid(data, "train").patterns, gridsize**2, 16, 16)
    assert whole.dtype == np.float32
    for block_px in (1, 700, 10**9):
        monkeypatch.setattr(grid_module, "_BLOCK_PX", block_px)
        np.testing.assert_array_equal(diffraction_amplitudes(*scan, photon_counter(data, "train")), whole)


@pytest.mark.parametrize("mean", [0.3, 50.0, 1e6])
def test_counts_are_poisson(mean):
    expected = np.full((400, 400), mean)
    counts = photon_counter(DataConfig(), "train")(expected)
    assert np.issubdtype(counts.dtype, np.integer)
    assert counts.mean() == pytest.approx(mean, abs=5 * np.sqrt(mean / counts.size))
    assert counts.var() / mean == pytest.approx(1, abs=5 * np.sqrt((2 + 1 / mean) / counts.size))


def test_without_noise_the_expectation_is_kept():
    expected = np.random.default_rng(0).random((4, 4))
    np.testing.assert_array_equal(photon_counter(DataConfig(noise="none"), "train")(expected), expected)
