import numpy as np
import pytest
from scipy.stats import pearsonr
from skimage.metrics import peak_signal_noise_ratio

from ptycho_mlf.evaluation.alignment import align
from ptycho_mlf.evaluation.metrics import data_ranges, is_constant, psnr, scores, ssim
from ptycho_mlf.evaluation.reason import Reason

RANDOM = np.random.default_rng(5)


def pair_of(shape=(40, 46)):
    truth = (2 + RANDOM.random(shape)) * np.exp(0.3j * RANDOM.standard_normal(shape))
    noise = RANDOM.standard_normal(shape) + 1j * RANDOM.standard_normal(shape)
    return align(truth + 0.2 * noise, truth)


def ssim_by_hand(x: np.ndarray, y: np.ndarray, R: float) -> float:
    """Wang et al. 2004 with every 7x7 window taken explicitly, sample moments."""
    x, y = (np.lib.stride_tricks.sliding_window_view(i, (7, 7)).reshape(-1, 49) for i in (x, y))
    mx, my = x.mean(axis=1), y.mean(axis=1)
    covariance = ((x - mx[:, None]) * (y - my[:, None])).sum(axis=1) / 48
    c1, c2 = (0.01 * R) ** 2, (0.03 * R) ** 2
    index = (2 * mx * my + c1) * (2 * covariance + c2)
    return float((index / ((mx**2 + my**2 + c1) * (x.var(axis=1, ddof=1) + y.var(axis=1, ddof=1) + c2))).mean())


@pytest.mark.parametrize("kind", ["amp", "phase"])
def test_every_metric_against_its_formula(kind):
    pair = pair_of()
    image, truth = (pair.amp, pair.truth_amp) if kind == "amp" else (pair.phase, pair.truth_phase)
    difference = image - truth
    assert np.abs(difference).max() < np.pi
    R = truth.max() - truth.min()
    assert data_ranges(pair)[kind] == R
    lift = -truth.min() if kind == "phase" else 0
    found = scores(pair, kind)
    assert found["mae"] == pytest.approx(np.mean(np.abs(difference)), rel=1e-12)
    assert found["mse"] == pytest.approx(np.mean(difference * difference), rel=1e-12)
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(truth, image, data_range=R), rel=1e-12)
    assert found["ssim"] == pytest.approx(ssim_by_hand(image + lift, truth + lift, R), rel=1e-10)
    assert found["pearson"] == pytest.approx(pearsonr(image.ravel(), truth.ravel()).statistic, rel=1e-12)
    assert found["msssim"] is Reason.TOO_SMALL


def test_the_side_ms_ssim_needs():
    for side, known in ((175, False), (176, True)):
        pair = pair_of((side + 4, 200))
        assert isinstance(scores(pair, "amp")["msssim"], float) is known


def test_small_images():
    image = np.ones((6, 9))
    assert ssim(image, image, 1.0) is Reason.TOO_SMALL


def test_psnr_without_an_error_has_no_value():
    assert psnr(0.0, 1.0) is Reason.NO_ERROR


def test_constant_to_float32_rounding():
    """A constant network answers in float32: its rounding is not a picture, one part in 10^4 is."""
    pair = pair_of()
    truth = pair.images("complex")[1]
    jitter = RANDOM.standard_normal(truth.shape)
    for size, constant in ((6e-8, True), (1e-4, False)):
        flat = align(0.7 * np.exp(1j) * (1 + size * (1 + 1j) * jitter), truth)
        assert all(is_constant(flat, kind) is constant for kind in ("amp", "phase", "complex"))
        assert (scores(flat, "amp")["pearson"] == 0) is constant
