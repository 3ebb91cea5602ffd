"""The metrics of the earlier study (PtychoPINN), for comparison with its numbers only.

What differs from `metrics`: the phase plane is fitted without a global phase step, so phases may wrap, and phase
errors are not wrapped; PSNR has peak 255 whatever the data (48.13 dB above peak 1); the phase SSIM spreads (-pi, pi]
over 0..1, which makes it insensitive; MS-SSIM decimates without averaging and multiplies full SSIMs; ring
correlation has no taper. Its code of the ring sums is not known, so the ring numbers are approximate.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from .alignment import Aligned, ComplexImage, PhaseMode, align, remove_mean, remove_plane, trim
from .frc import first_below, ring_correlation
from .metrics import is_constant, ssim
from .ms_ssim import WEIGHTS
from .reason import Reason, Score

PEAK = 255.0
AMPLITUDE_BLUR = 1.0
"""Gaussian sigma applied to amplitudes before MS-SSIM, px."""
LEAST_SSIM = 1e-4
"""What a negative SSIM is replaced with before the fractional power."""
NAMES = ("mae", "mse", "psnr", "ssim", "ms_ssim", "frc50", "frc50_interp", "frc1over7", "frc1over7_interp")

Image = NDArray[np.float64]


def legacy_align(prediction: ComplexImage, truth: ComplexImage, mode: PhaseMode) -> Aligned:
    """Alignment without the global phase step."""
    remove = remove_plane if mode == "plane" else remove_mean
    return replace(align(prediction, truth, mode), phase=remove(np.angle(trim(prediction))), global_phase=0.0)


def legacy_scores(aligned: Aligned, kind: str) -> dict[str, Score]:
    """All legacy metrics of the amplitude or the phase. The true image must not be constant."""
    if kind == "amp":
        image, truth = aligned.amp, aligned.truth_amp
        seen, true, data_range = image, truth, float(np.ptp(truth))
        multi = ms_ssim_of_decimations(gaussian_filter(image, AMPLITUDE_BLUR), gaussian_filter(truth, AMPLITUDE_BLUR))
    else:
        image, truth = aligned.phase, aligned.truth_phase
        seen, true, data_range = (image + np.pi) / (2 * np.pi), (truth + np.pi) / (2 * np.pi), 1.0
        multi = ms_ssim_of_decimations(seen, true)
    return {
        "mae": float(np.abs(image - truth).mean()),
        "mse": float(np.mean((image - truth) ** 2)),
        "psnr": psnr_255(image, truth),
        "ssim": ssim(seen, true, data_range),
        "ms_ssim": multi,
        **_rings(aligned, kind, image, truth),
    }


def psnr_255(image: Image, truth: Image) -> float:
    """PSNR of float32 images against peak 255, dB; finite for equal images."""
    difference = image.astype(np.float32).astype(np.float64) - truth.astype(np.float32)
    return float(20 * np.log10(PEAK / (np.sqrt(np.mean(difference**2)) + np.finfo(np.float64).eps)))


def ms_ssim_of_decimations(x: Image, y: Image) -> Score:
    """Product over up to five scales of SSIM^w, every second pixel kept from scale to scale.

    R is the larger of both images' ranges. Scales smaller than the SSIM window are left out.
    """
    data_range = float(max(np.ptp(x), np.ptp(y)))
    product: Score = Reason.TOO_SMALL
    for weight in WEIGHTS:
        similarity = ssim(x, y, data_range)
        if isinstance(similarity, Reason):
            break
        factor = (similarity if similarity >= 0 else LEAST_SSIM) ** weight
        product = factor if isinstance(product, Reason) else product * factor
        x, y = x[::2, ::2], y[::2, ::2]
    return product


def _rings(aligned: Aligned, kind: str, image: Image, truth: Image) -> dict[str, Score]:
    """Ring index of the first value below 1/2 and 1/7, as an integer and interpolated.

    Ring 0 compares the means, which the phase alignment makes zero; it never counts as below.
    """
    names = {"frc50": 1 / 2, "frc1over7": 1 / 7}
    if is_constant(aligned, kind):
        return {f"{name}{suffix}": Reason.CONSTANT for name in names for suffix in ("", "_interp")}
    correlation, _ = ring_correlation(image, truth)
    correlation[0] = 1.0
    result: dict[str, Score] = {}
    for name, limit in names.items():
        index = first_below(correlation - limit)
        result[name] = float(len(correlation)) if index is None else float(np.argmax(correlation < limit))
        result[f"{name}_interp"] = float(len(correlation)) if index is None else index
    return result
