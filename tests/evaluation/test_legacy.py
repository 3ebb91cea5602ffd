"""Oracles: the formulas of the earlier study, written out."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from ptycho_mlf.evaluation.legacy import legacy_align, legacy_scores, ms_ssim_of_decimations, psnr_255
from ptycho_mlf.evaluation.reason import Reason

RANDOM = np.random.default_rng(13)
SHAPE = (120, 120)
TEXTURE = gaussian_filter(RANDOM.standard_normal(SHAPE), 2) * 4
TRUTH = (3 + TEXTURE) * np.exp(0.4j * TEXTURE)
PREDICTION = 0.2 * (TRUTH + 0.3 * (RANDOM.standard_normal(SHAPE) + 1j * RANDOM.standard_normal(SHAPE)))


def ms_ssim_by_hand(x, y):
    R, product = max(np.ptp(x), np.ptp(y)), 1.0
    for weight in (0.0448, 0.2856, 0.3001, 0.2363, 0.1333):
        product *= max(structural_similarity(x, y, data_range=R), 1e-4) ** weight
        x, y = x[::2, ::2], y[::2, ::2]
    return product


@pytest.mark.parametrize("kind", ["amp", "phase"])
def test_every_metric_against_its_formula(kind):
    pair = legacy_align(PREDICTION, TRUTH, "plane")
    found = legacy_scores(pair, kind)
    if kind == "amp":
        image, truth = np.abs(PREDICTION[2:-2, 2:-2]), np.abs(TRUTH[2:-2, 2:-2])
        image = image * truth.mean() / image.mean()
        seen, true, R = image, truth, np.ptp(truth)
        blurred = [gaussian_filter(i, 1) for i in (image, truth)]
    else:
        rows, columns = np.mgrid[:116, :116]
        design = np.stack([rows.ravel(), columns.ravel(), np.ones(rows.size)], axis=1)
        phases = [np.angle(o[2:-2, 2:-2]) for o in (PREDICTION, TRUTH)]
        image, truth = (
            p - (design @ np.linalg.lstsq(design, p.ravel(), rcond=None)[0]).reshape(p.shape) for p in phases
        )
        seen, true, R = (image + np.pi) / (2 * np.pi), (truth + np.pi) / (2 * np.pi), 1
        blurred = [seen, true]
    assert found["mae"] == pytest.approx(np.mean(np.abs(image - truth)), rel=1e-9)
    mse = np.mean((image - truth) ** 2)
    assert found["mse"] == pytest.approx(mse, rel=1e-9)
    assert found["psnr"] == pytest.approx(20 * np.log10(255) - 10 * np.log10(mse), abs=1e-4)
    assert found["ssim"] == pytest.approx(structural_similarity(seen, true, data_range=R), rel=1e-9)
    assert found["ms_ssim"] == pytest.approx(ms_ssim_by_hand(*blurred), rel=1e-9)


def test_ring_index_is_whole_in_the_early_and_interpolated_in_the_later_definition():
    """Rings of the plain spectra, no taper: correlation 1 up to ring 20, then noise of nine times the power."""
    axis = np.fft.fftfreq(SHAPE[0]) * SHAPE[0]
    inside = np.hypot(axis[:, None], axis[None, :]) < 20.5
    truth, other = (np.fft.fft2(RANDOM.standard_normal(SHAPE)) for _ in range(2))
    image = np.fft.ifft2(np.where(inside, truth, other)).real + 9
    pair = legacy_align(image.astype(complex), np.fft.ifft2(truth).real + 9 + 0j, "plane")
    # The trim mixes neighbouring rings a little.
    found = legacy_scores(pair, "amp")
    scale = 116 / 120
    assert found["frc50"] == pytest.approx(21 * scale, abs=1)
    assert found["frc50"] == int(found["frc50"])
    assert found["frc50"] - 1 <= found["frc50_interp"] <= found["frc50"]
    assert found["frc1over7"] >= found["frc50"]


def test_never_below_reads_the_length_of_the_curve():
    found = legacy_scores(legacy_align(TRUTH * 0.3, TRUTH, "plane"), "phase")
    assert {found[name] for name in found if name.startswith("frc")} == {116 // 2 + 1}


def test_the_constant_has_no_rings():
    found = legacy_scores(legacy_align(np.ones_like(TRUTH), TRUTH, "plane"), "amp")
    assert {found[name] for name in found if name.startswith("frc")} == {Reason.CONSTANT}


def test_phases_wrap_without_a_global_phase_step():
    """The flaw that the current metrics do not have: a global phase of pi tears the phase apart."""
    turned = legacy_scores(legacy_align(-PREDICTION, TRUTH, "plane"), "phase")
    straight = legacy_scores(legacy_align(PREDICTION, TRUTH, "plane"), "phase")
    assert turned["mae"] > 5 * straight["mae"]


def test_psnr_has_peak_255_in_float32():
    image, truth = np.full((8, 8), 2.5), np.full((8, 8), 2.0)
    assert psnr_255(image, truth) == pytest.approx(20 * np.log10(255 / 0.5), abs=1e-9)
    assert psnr_255(truth + 1e-12, truth) == psnr_255(truth, truth) == pytest.approx(361.2, abs=0.05)


def test_negative_similarity_and_small_images():
    opposite = ms_ssim_of_decimations(5 + TEXTURE, 5 - TEXTURE)
    assert opposite == pytest.approx(ms_ssim_by_hand(5 + TEXTURE, 5 - TEXTURE))
    assert 0 < opposite < 0.01
    assert ms_ssim_of_decimations(TEXTURE[:6], TEXTURE[:6]) is Reason.TOO_SMALL
    once = ms_ssim_of_decimations(TEXTURE[:13, :13], -TEXTURE[:13, :13] + 1)
    assert isinstance(once, float)
