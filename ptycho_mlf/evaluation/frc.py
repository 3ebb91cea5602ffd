"""Fourier ring correlation of a prediction with the truth, and the resolution read from it.

Ring k holds the Fourier pixels whose radius, in cycles per image, rounds to k. M is the (smaller) image side in px.
The 1/7 and half-bit thresholds (van Heel and Schatz 2005) are calibrated for two noisy half data sets; here the
truth is known, so 0.5 is the main number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.signal.windows import tukey

TAPER = 0.25
"""Share of every image side that the Tukey window tapers."""
NYQUIST = 0.5
"""Highest frequency of an image, cycles/px."""
THRESHOLDS = ("0.5", "1/7", "half-bit")

ROUNDING = (64 * np.finfo(np.float64).eps) ** 2
"""Share of an image's power that the rounding of the transform may leave in an empty ring."""

Curve = NDArray[np.float64]


@dataclass(frozen=True)
class Crossing:
    """Where a correlation first falls below a threshold."""

    frequency: float
    """Cycles/px."""
    half_period: float | None
    """Half a period at that frequency, px; None at zero frequency."""
    flag: Literal["", "censored", "none"]
    """`censored`: never below, the Nyquist frequency is reported. `none`: below from the first ring, reported as 0."""


@dataclass(frozen=True)
class FrcCurve:
    """Fourier ring correlation of rings k = 1 .. M // 2."""

    frequency: Curve
    """k / M, cycles/px."""
    correlation: Curve
    """FRC(k), -1 .. 1; 0 where a ring holds no power."""
    pixels: NDArray[np.int64]
    """n_k, Fourier pixels per ring."""
    crossings: dict[str, Crossing]
    """By the names of THRESHOLDS."""

    def threshold(self, name: str) -> Curve:
        """A threshold at every ring."""
        return threshold(name, self.pixels)

    def as_json(self) -> dict[str, Any]:
        """Plain lists and numbers."""
        return {
            "frequency_cycles_per_px": self.frequency.tolist(),
            "correlation": self.correlation.tolist(),
            "pixels": self.pixels.tolist(),
            "crossings": {
                name: {"frequency_cycles_per_px": c.frequency, "half_period_px": c.half_period, "flag": c.flag}
                for name, c in self.crossings.items()
            },
        }


def frc(prediction: NDArray[Any], truth: NDArray[Any]) -> FrcCurve:
    """Fourier ring correlation of two real or complex images (H, W) after mean removal and a Tukey window."""
    correlation, pixels = ring_correlation(_tapered(prediction), _tapered(truth))
    correlation, pixels = correlation[1:], pixels[1:]
    frequency = np.arange(1, len(correlation) + 1) / min(truth.shape)
    crossings = {name: _crossing(correlation, threshold(name, pixels), min(truth.shape)) for name in THRESHOLDS}
    return FrcCurve(frequency, correlation, pixels, crossings)


def ring_correlation(x: NDArray[Any], y: NDArray[Any]) -> tuple[Curve, NDArray[np.int64]]:
    """Re(sum F1 conj(F2)) / sqrt(sum |F1|^2 sum |F2|^2) and the Fourier pixels of rings k = 0 .. M // 2.

    A ring in which one of the images has no power beyond the rounding of the transform has correlation 0.
    """
    side = min(x.shape)
    radius = np.hypot(np.fft.fftfreq(x.shape[0])[:, None], np.fft.fftfreq(x.shape[1])[None, :]) * side
    ring = np.rint(radius).astype(np.int64).ravel()
    rings = side // 2 + 1
    x_hat, y_hat = np.fft.fft2(x).ravel(), np.fft.fft2(y).ravel()

    def sums(values: Curve) -> Curve:
        return np.bincount(ring, values, minlength=rings)[:rings].astype(np.float64)

    x_power, y_power = sums(np.abs(x_hat) ** 2), sums(np.abs(y_hat) ** 2)
    filled = (x_power > ROUNDING * np.abs(x_hat @ x_hat.conj())) & (y_power > ROUNDING * np.abs(y_hat @ y_hat.conj()))
    correlation = np.zeros(rings)
    cross = sums((x_hat * y_hat.conj()).real)
    np.divide(cross, np.sqrt(x_power) * np.sqrt(y_power), out=correlation, where=filled)
    return correlation, np.bincount(ring, minlength=rings)[:rings]


def threshold(name: str, pixels: NDArray[np.int64]) -> Curve:
    """A threshold for rings with so many Fourier pixels."""
    if name == "half-bit":
        root = np.sqrt(pixels)
        return (0.2071 + 1.9102 / root) / (1.2071 + 0.9102 / root)
    return np.full(pixels.shape, {"0.5": 1 / 2, "1/7": 1 / 7}[name])


def first_below(margin: Curve) -> float | None:
    """Index, interpolated linearly, at which a sampled curve first falls below zero; None if it never does."""
    below = np.flatnonzero(margin < 0)
    if below.size == 0:
        return None
    index = int(below[0])
    if index == 0:
        return 0.0
    before, after = margin[index - 1 : index + 1]
    return index - 1 + float(before / (before - after))


def _crossing(correlation: Curve, limit: Curve, side: int) -> Crossing:
    margin = correlation - limit
    if margin[0] < 0:
        return Crossing(0.0, None, "none")
    index = first_below(margin)
    if index is None:
        return Crossing(NYQUIST, 0.5 / NYQUIST, "censored")
    frequency = (index + 1) / side
    return Crossing(frequency, 0.5 / frequency, "")


def _tapered(image: NDArray[Any]) -> NDArray[Any]:
    rows, columns = (tukey(side, TAPER) for side in image.shape)
    return (image - image.mean()) * rows[:, None] * columns[None, :]
