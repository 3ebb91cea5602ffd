import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ptycho_mlf.evaluation.frc import Crossing, first_below, frc, ring_correlation, threshold

RANDOM = np.random.default_rng(11)


def white(shape=(96, 96)) -> np.ndarray:
    return RANDOM.standard_normal(shape) + 1j * RANDOM.standard_normal(shape)


def radius(side: int) -> np.ndarray:
    axis = np.array([k if k < side / 2 else k - side for k in range(side)], float)
    return np.sqrt(axis[:, None] ** 2 + axis[None, :] ** 2)


@pytest.mark.parametrize("side", [64, 65])
def test_against_rings_taken_one_by_one(side):
    """Oracle: the taper written out, one mask per ring."""
    truth = white((side, side))
    image = gaussian_filter(truth, 1) + 0.1 * white((side, side))
    n = np.arange(side)
    edge = np.minimum(n, side - 1 - n)
    flank = 0.25 * (side - 1) / 2
    window = np.where(edge < flank, 0.5 * (1 - np.cos(np.pi * edge / flank)), 1)
    x, y = (np.fft.fft2((i - i.mean()) * np.outer(window, window)) for i in (image, truth))
    curve = frc(image, truth)
    assert len(curve.correlation) == side // 2
    for k in range(1, side // 2 + 1):
        ring = (radius(side) > k - 0.5) & (radius(side) < k + 0.5)
        value = np.sum(x[ring] * y[ring].conj()).real / np.sqrt(
            np.sum(np.abs(x[ring]) ** 2) * np.sum(np.abs(y[ring]) ** 2)
        )
        assert curve.correlation[k - 1] == pytest.approx(value, abs=1e-12)
        assert curve.pixels[k - 1] == ring.sum()
        assert curve.frequency[k - 1] == k / side


def test_identical_images_correlate_fully_up_to_nyquist():
    image = white()
    curve = frc(3 * image, image)
    np.testing.assert_allclose(curve.correlation, 1, atol=1e-12)
    assert set(curve.crossings.values()) == {Crossing(0.5, 1.0, "censored")}


def test_noise_does_not_correlate():
    curve = frc(white(), white())
    assert np.all(np.abs(curve.correlation) < 6 / np.sqrt(curve.pixels))
    assert curve.crossings["0.5"] == Crossing(0.0, None, "none")


@pytest.mark.parametrize("band", [9, 30])
def test_a_band_limit_is_the_resolution(band):
    """All rings up to the band are kept, none beyond: the correlation steps from 1 to 0 between two rings."""
    truth = white()
    image = np.fft.ifft2(np.fft.fft2(truth) * (radius(96) < band + 0.5))
    correlation, _ = ring_correlation(image, truth)
    np.testing.assert_allclose(correlation[: band + 1], 1, atol=1e-12)
    np.testing.assert_array_equal(correlation[band + 1 :], 0)
    scrambled = image + np.fft.ifft2(np.fft.fft2(white()) * (radius(96) >= band + 0.5))
    curve = frc(scrambled, truth)
    assert curve.crossings["0.5"].frequency * 96 == pytest.approx(band + 0.5, abs=0.6)
    assert curve.crossings["0.5"].half_period == pytest.approx(0.5 / curve.crossings["0.5"].frequency)
    assert curve.crossings["0.5"].flag == ""


def test_known_signal_to_noise_gives_the_known_correlation():
    """Truth plus independent noise of ratio SNR correlates with the truth as sqrt(SNR / (1 + SNR))."""
    truth = white((256, 256))
    curve = frc(truth + 2 * white((256, 256)), truth)
    np.testing.assert_allclose(curve.correlation[20:], np.sqrt(0.25 / 1.25), atol=0.15)
    assert curve.correlation[20:].mean() == pytest.approx(np.sqrt(0.25 / 1.25), abs=0.01)


def test_chosen_correlations_and_empty_rings():
    """Single cosines of chosen correlation in five rings, no taper; the other rings hold rounding only."""
    side, values = 32, [1.0, 0.9, 0.7, 0.2, 0.0]
    spectra = np.zeros((2, side, side))
    for k, value in enumerate(values, start=1):
        spectra[0, 0, k], spectra[0, 0, -k] = 1, 1
        spectra[1, 0, k], spectra[1, 0, -k] = value, value
        spectra[1, k, 0], spectra[1, -k, 0] = np.sqrt(1 - value**2), np.sqrt(1 - value**2)
    correlation, pixels = ring_correlation(*np.fft.ifft2(spectra))
    np.testing.assert_allclose(correlation[1:6], values, atol=1e-12)
    assert list(pixels[:3]) == [1, 8, 12]
    np.testing.assert_array_equal(correlation[6:], 0)


@pytest.mark.parametrize(
    ("margin", "index"), [([0.3, 0.1, -0.1, 0.2, -1], 1.5), ([0.4, -0.1], 0.8), ([0.1, 0.0], None), ([-0.1, 1], 0.0)]
)
def test_first_fall_below_zero_is_interpolated(margin, index):
    assert first_below(np.array(margin)) == (index if index is None else pytest.approx(index))


def test_half_bit_threshold():
    """One Fourier pixel: 1; very many: 0.2071 / 1.2071; 100 by hand."""
    found = threshold("half-bit", np.array([1, 100, 10**12]))
    np.testing.assert_allclose(found, [1, 0.39812 / 1.29812, 0.2071 / 1.2071], atol=2e-6)


def test_json_is_strict():
    json.dumps([frc(white(), white()).as_json(), frc(*2 * [white()]).as_json()], allow_nan=False)
