"""Why a metric has no value. A missing value is stored as null with its reason, never as a number that looks good."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a metric does not apply."""

    VACUOUS = "vacuous"
    """The constant predictor is already (nearly) perfect, so the metric cannot tell a good prediction."""
    TOO_SMALL = "too_small"
    """The image is smaller than the metric's window."""
    NONFINITE = "nonfinite"
    """The prediction has infinite or undefined values, or overflows."""
    ZERO_AMPLITUDE = "zero_amplitude"
    """The prediction is zero everywhere: no amplitude factor and no phase exist."""
    CONSTANT = "constant"
    """The prediction is spatially constant: it has no spectrum to correlate."""
    NO_ERROR = "no_error"
    """The error is exactly zero, so its logarithm is infinite."""


Score = float | Reason
"""The value of a metric, or why it has none."""
