"""The two numbers that bring a simulation to order 1: object units and the intensity scale."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..scan import ScanGrid
from .scan_grid import patch_views


def object_norm(amplitude_ISS: NDArray[np.float64], N: int, grid: ScanGrid, gridsize: int) -> float:
    """norm_Y: mean over all patches of the patch maximum, in amplitude units."""
    maxima = [view.max(axis=(-2, -1)) for image in amplitude_ISS for view in patch_views(image, N, grid, gridsize)]
    return float(np.mean(maxima))


def intensity_scale(
    Y_ISS: NDArray[np.float64], probe_NN: NDArray[np.complex128], grid: ScanGrid, gridsize: int, nphotons: float
) -> float:
    """s = sqrt(nphotons / mean over patches and channels of sum over px of (Y * |P|)^2), in sqrt(photon)."""
    N = len(probe_NN)
    illumination = np.abs(probe_NN) ** 2
    energies = [
        np.einsum("rcij,ij->rc", view, illumination)
        for image in Y_ISS
        for view in patch_views(image**2, N, grid, gridsize)
    ]
    return math.sqrt(nphotons / float(np.mean(energies)))
