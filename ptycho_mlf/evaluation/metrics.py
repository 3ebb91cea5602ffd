"""Scores of one aligned image pair, amplitude or phase. Images are (H, W), sums in float64."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from .alignment import Aligned
from .ms_ssim import SMALLEST_SIDE, ms_ssim
from .reason import Reason, Score

KINDS = ("amp", "phase")
NAMES = ("mae", "mse", "psnr", "ssim", "msssim", "pearson")
SSIM_WINDOW = 7
"""Side of the uniform SSIM window, px."""
CONSTANT_SPREAD = 1e-6
"""Standard deviation (relative to the true mean amplitude, or in rad) below which an image counts as constant:
the rounding of a constant float32 image is below it."""

Image = NDArray[np.float64]


def data_ranges(aligned: Aligned) -> dict[str, float]:
    """R by kind: max - min of the true amplitude (object units) and of the true phase (rad)."""
    return {"amp": float(np.ptp(aligned.truth_amp)), "phase": float(np.ptp(aligned.truth_phase))}


def scores(aligned: Aligned, kind: str) -> dict[str, Score]:
    """All metrics of NAMES, of the amplitude (object units, dB) or of the phase (rad, dB).

    The true image must not be constant. SSIM and MS-SSIM see phases with the least true phase subtracted, as their
    luminance term needs non-negative images.
    """
    data_range = data_ranges(aligned)[kind]
    image, truth = aligned.images(kind)
    error = aligned.error(kind)
    if kind == "phase":
        image, truth = image - truth.min(), truth - truth.min()
    mse = float(np.mean(error**2))
    return {
        "mae": float(np.abs(error).mean()),
        "mse": mse,
        "psnr": psnr(mse, data_range),
        "ssim": ssim(image, truth, data_range),
        "msssim": ms_ssim(image, truth, data_range) if min(image.shape) >= SMALLEST_SIDE else Reason.TOO_SMALL,
        "pearson": 0.0 if is_constant(aligned, kind) else pearson(image, truth),
    }


def is_constant(aligned: Aligned, kind: str) -> bool:
    """Whether the prediction (kind "amp", "phase" or "complex") does not vary beyond float32 rounding."""
    unit = 1.0 if kind == "phase" else aligned.truth_amp.mean()
    return bool(aligned.images(kind)[0].std() <= CONSTANT_SPREAD * unit)


def psnr(mse: float, data_range: float) -> Score:
    """Peak signal-to-noise ratio 10 log10(R^2 / mse), dB."""
    return float(10 * np.log10(data_range**2 / mse)) if mse > 0 else Reason.NO_ERROR


def ssim(image: Image, truth: Image, data_range: float) -> Score:
    """Structural similarity (Wang et al. 2004): 7x7 uniform window, K1 0.01, K2 0.03, sample covariance."""
    if min(image.shape) < SSIM_WINDOW:
        return Reason.TOO_SMALL
    index = structural_similarity(image, truth, win_size=SSIM_WINDOW, data_range=data_range)
    return float(cast("float", index))  # a number, as neither the map nor the gradient is asked for


def pearson(image: Image, truth: Image) -> float:
    """Linear correlation of two images that vary."""
    a, b = image - image.mean(), truth - truth.mean()
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
