"""Photon counting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import DataConfig
from .streams import Split, noise_stream

Count = Callable[[NDArray[np.float64]], NDArray[Any]]
"""Takes expected photons per pixel, gives counted ones."""


def photon_counter(data: DataConfig, split: Split) -> Count:
    """Poisson counts from the split's own stream, or the expectation itself with noise = none.

    Pixels are drawn one after the other in memory order, so counts do not depend on how a data set is cut in blocks.
    """
    if data.noise == "none":
        return lambda expected: expected
    return noise_stream(data.noise_seed, split).poisson
