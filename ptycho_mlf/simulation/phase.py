"""Object phase, a function of the amplitude."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def phase_of(amplitude_ISS: NDArray[np.float64]) -> NDArray[np.float64]:
    """pi * tanh((A - max(A) / 2) / (3 * mean(A))), rad.

    Maximum and mean run over the whole stack, so the phase of an object changes with the others.
    """
    return np.pi * np.tanh((amplitude_ISS - amplitude_ISS.max() / 2) / (3 * amplitude_ISS.mean()))
