"""What cannot be measured is aligned away before scoring: global phase, phase plane, amplitude scale.

Positions are known, so there is no shift registration. Images are (H, W), sums in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ptycho_mlf.config import InputError

from .reason import Reason

TRIM = 2
"""Pixels dropped on every side before scoring."""

PhaseMode = Literal["plane", "mean"]
Image = NDArray[np.float64]
ComplexImage = NDArray[np.complexfloating[Any, Any]]


@dataclass(frozen=True)
class Aligned:
    """A prediction and its truth after alignment, trimmed. Amplitudes in object units, phases in rad."""

    amp: Image
    phase: Image
    truth_amp: Image
    truth_phase: Image
    factor: float
    """What the predicted amplitude was multiplied with: mean true over mean predicted amplitude."""
    global_phase: float
    """What was subtracted from the predicted phase before the plane fit, rad."""

    def error(self, kind: str) -> Image:
        """Prediction minus truth: "amp" in object units, "phase" in rad, wrapped to (-pi, pi]."""
        return self.amp - self.truth_amp if kind == "amp" else wrap(self.phase - self.truth_phase)

    def images(self, kind: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """Prediction and truth: "amp", "phase", or both in one "complex" image."""
        if kind == "complex":
            return self.amp * np.exp(1j * self.phase), self.truth_amp * np.exp(1j * self.truth_phase)
        return (self.amp, self.truth_amp) if kind == "amp" else (self.phase, self.truth_phase)


def unalignable(prediction: ComplexImage) -> Reason | None:
    """Why a prediction cannot be aligned, or None where it can."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.abs(trim(prediction)).mean()
    if not np.isfinite(mean):
        return Reason.NONFINITE
    # Below the smallest normal number the amplitude factor could overflow.
    if mean < np.finfo(np.float64).tiny:
        return Reason.ZERO_AMPLITUDE
    return None


def align(prediction: ComplexImage, truth: ComplexImage, mode: PhaseMode = "plane") -> Aligned:
    """Trim, remove the global phase and the phase plane (or mean), scale the amplitude to the truth's mean.

    Args:
        prediction: complex (H, W), any scale; `unalignable` must be None.
        truth: complex (H, W).
        mode: "plane" subtracts a least-squares plane from both phases, each its own; "mean" only their means.

    Raises:
        InputError: the images are too small to trim.
    """
    predicted, true = trim(prediction), trim(truth)
    truth_amp = np.abs(true)
    factor = float(truth_amp.mean() / np.abs(predicted).mean())
    # Scaled first, so that no product below can overflow.
    predicted *= factor
    global_phase = float(np.angle(np.sum(predicted * np.conj(true))))
    phase = np.angle(predicted * np.exp(-1j * global_phase))
    remove = remove_plane if mode == "plane" else remove_mean
    return Aligned(np.abs(predicted), remove(phase), truth_amp, remove(np.angle(true)), factor, global_phase)


def trim(image: ComplexImage) -> NDArray[np.complex128]:
    """Drop the outermost pixels of a complex image.

    Raises:
        InputError: less than 2 x 2 px would be left, on which no phase plane is defined.
    """
    least = 2 * TRIM + 2
    if min(image.shape) < least:
        raise InputError(f"stitched image of {image.shape[0]} x {image.shape[1]} px: it needs {least} px per side")
    return image[TRIM:-TRIM, TRIM:-TRIM].astype(np.complex128)


def remove_plane(phase: Image) -> Image:
    """Subtract the least-squares plane a*x + b*y + c.

    On a full grid the centred coordinates and the constant are orthogonal, so every coefficient is a projection.
    """
    flat = remove_mean(phase)
    for axis in (0, 1):
        x = np.arange(phase.shape[axis]) - (phase.shape[axis] - 1) / 2
        x = x[:, None] if axis == 0 else x[None, :]
        flat = flat - x * ((flat * x).sum() / (x * x).sum() / phase.shape[1 - axis])
    return flat


def remove_mean(phase: Image) -> Image:
    """Subtract the mean."""
    return phase - phase.mean()


def wrap(angle: Image) -> Image:
    """Angles wrapped to (-pi, pi]; those already inside are returned unchanged, bit for bit."""
    return angle - 2 * np.pi * np.ceil((angle - np.pi) / (2 * np.pi))
