import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve2d

from ptycho_mlf.evaluation.ms_ssim import ms_ssim

RANDOM = np.random.default_rng(7)
TRUTH = 3 + gaussian_filter(RANDOM.standard_normal((181, 190)), 3) * 4
RANGE = float(np.ptp(TRUTH))


def oracle(x: np.ndarray, y: np.ndarray, R: float) -> float:
    """Wang, Simoncelli and Bovik 2003, with a 2-D Gaussian kernel and centred second moments."""
    axis = np.arange(-5, 6)
    kernel = np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    C1, C2 = (R / 100) ** 2, (3 * R / 100) ** 2
    contrast, luminance = [], []
    for _ in range(5):
        mx, my, xx, yy, xy = (convolve2d(image, kernel, mode="valid") for image in (x, y, x * x, y * y, x * y))
        sx, sy, sxy = xx - mx**2, yy - my**2, xy - mx * my
        cs = (2 * sxy + C2) / (sx + sy + C2)
        contrast.append(cs.mean())
        luminance.append((cs * (2 * mx * my + C1) / (mx**2 + my**2 + C1)).mean())
        box = np.full((2, 2), 0.25)
        x, y = (convolve2d(image, box, mode="valid")[::2, ::2] for image in (x, y))
    terms = np.array([*contrast[:4], luminance[4]])
    return float(np.prod(np.maximum(terms, 0) ** [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]))


@pytest.mark.parametrize("sigma", [0.01, 0.3, 3.0])
def test_against_a_second_implementation(sigma):
    image = TRUTH + sigma * RANDOM.standard_normal(TRUTH.shape)
    assert ms_ssim(image, TRUTH, RANGE) == pytest.approx(oracle(image, TRUTH, RANGE), rel=1e-9)


def test_identity_symmetry_and_order():
    noise = RANDOM.standard_normal(TRUTH.shape)
    assert ms_ssim(TRUTH, TRUTH, RANGE) == pytest.approx(1, abs=1e-12)
    falling = [ms_ssim(TRUTH + sigma * noise, TRUTH, RANGE) for sigma in (0, 0.05, 0.2, 1, 5)]
    assert falling == sorted(falling, reverse=True)
    image = TRUTH + noise
    assert ms_ssim(image, TRUTH, RANGE) == pytest.approx(ms_ssim(TRUTH, image, RANGE), rel=1e-12)


def test_a_constant_shift_costs_only_the_luminance_of_the_coarsest_scale():
    """Contrast and structure are equal, so what is left is the fifth weight's power of the luminance term."""
    scale = 1.3
    value = ms_ssim(np.full((176, 176), scale), np.ones((176, 176)), 1.0)
    assert value == pytest.approx(((2 * scale + 1e-4) / (scale**2 + 1 + 1e-4)) ** 0.1333, rel=1e-9)


def test_a_negative_mean_counts_as_zero():
    assert ms_ssim(2 * TRUTH.mean() - TRUTH, TRUTH, RANGE) == 0
