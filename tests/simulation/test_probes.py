"""Built-in probes against scipy's adaptive quadrature, Fourier theory and plain loops."""

import numpy as np
import pytest
from scipy import integrate, special

from ptycho_mlf.config import DataConfig
from ptycho_mlf.simulation.probes import central_mask, disk, simulation_probe, zone_plate


@pytest.mark.parametrize("N", [32, 64, 512])
def test_zone_plate_is_its_integral(N):
    a, probe = 5 * N / 6, zone_plate(N)
    for row, column in [(N // 2, N // 2), (N // 2 - 3, N // 2 + 5), (N // 2, N - 1), (0, 0), (1, N // 3)]:
        r = np.hypot(row - N / 2, column - N / 2)

        def integrand(f, r=r, a=a):
            return a * np.exp(-1j * np.pi * a * f**2) * special.j0(2 * np.pi * f * r) * 2 * np.pi * f

        expected, _ = integrate.quad(integrand, 1 / 16, 3 / 8, complex_func=True, limit=2000, epsabs=1e-11)
        assert probe[row, column] == pytest.approx(expected, abs=1e-9)


def test_zone_plate_centre_has_a_closed_form():
    for N in (16, 100, 256):
        assert abs(zone_plate(N)[N // 2, N // 2]) == pytest.approx(2 * abs(np.sin(175 * np.pi * N / 3072)), abs=1e-12)


def test_zone_plate_is_an_annular_aperture_with_defocus():
    """Its spectrum is exp(-i pi a f^2) times a constant inside the band, and little outside."""
    N = 128
    f = np.fft.fftshift(np.fft.fftfreq(N))
    radius = np.hypot(f[:, None], f)
    spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(zone_plate(N))))
    inside = (radius > 1 / 8) & (radius < 5 / 16)
    a = 5 * N / 6
    ratio = spectrum[inside] / (a * np.exp(-1j * np.pi * a * radius[inside] ** 2))
    assert np.abs(ratio - 1).mean() < 0.1
    outside = (radius < 1 / 32) | (radius > 13 / 32)
    assert np.mean(np.abs(spectrum[outside]) ** 2) < 0.01 * a**2


@pytest.mark.parametrize("N", [16, 64])
def test_disk_is_a_blurred_mask(N):
    centre, sigma = (N - 1) / 2, N / (0.7 * np.pi**2)
    mask = np.array(
        [[np.exp(-((i - centre) ** 2 + (j - centre) ** 2) / (2 * sigma**2)) for j in range(N)] for i in range(N)]
    )
    # divided by the largest value, half a pixel off the centre in each direction
    mask = mask / np.exp(-0.25 / sigma**2) > 0.5
    taps = np.exp(-0.5 * np.arange(-4, 5) ** 2)
    taps /= taps.sum()
    padded = np.pad(mask.astype(float), 4, mode="symmetric")
    blurred = sum(taps[i] * taps[j] * padded[i : i + N, j : j + N] for i in range(9) for j in range(9))
    np.testing.assert_allclose(disk(N), blurred + 1e-9, atol=1e-14)
    if N == 64:
        assert mask.sum() == 376


@pytest.mark.parametrize("N", [16, 64, 130])
@pytest.mark.parametrize("name", ["zone_plate", "disk"])
def test_the_masked_mean_is_a_quarter(name, N):
    probe, norm = simulation_probe(DataConfig(N=N, probe=name))
    assert probe.dtype == np.complex64
    near = [
        float(abs(probe[i, j]))
        for i in range(N)
        for j in range(N)
        if (i - N // 2 + 0.5) ** 2 + (j - N // 2 + 0.5) ** 2 < (N // 4) ** 2
    ]
    assert sum(near) / N**2 == pytest.approx(0.25, rel=1e-6)
    assert central_mask(N).sum() == len(near)
    unnormalised = {"zone_plate": zone_plate, "disk": disk}[name](N)
    np.testing.assert_allclose(probe, norm * unnormalised, rtol=1e-6, atol=1e-7)
