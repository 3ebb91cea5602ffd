"""Far-field diffraction of a scanned object, counted photon by photon.

Shapes: I objects, S object side, n groups, C channels, N patch side (px).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..scan import ScanGrid
from .photon_noise import Count
from .scan_grid import patch_blocks


def far_field_intensity(psi: NDArray[np.complex128]) -> NDArray[np.float64]:
    """|FFT2(psi)|^2 / N^2 over the last two axes, zero frequency at N // 2. Its sum is that of |psi|^2 (Parseval)."""
    wave = np.fft.fft2(psi)
    intensity = (wave.real**2 + wave.imag**2) / (psi.shape[-2] * psi.shape[-1])
    return np.fft.fftshift(intensity, axes=(-2, -1))


def diffraction_amplitudes(
    objects_ISS: NDArray[np.complex128],
    probe_NN: NDArray[np.complex128],
    grid: ScanGrid,
    gridsize: int,
    scale: float,
    count: Count,
) -> NDArray[np.float32]:
    """X = sqrt(counts) / scale, (n, C, N, N), dimensionless, of a raster scan.

    The expected photons are the far field of psi = scale * object * probe, in sqrt(photon). Everything but the result
    is computed in double precision, block by block: of a whole data set only X is held.

    Args:
        objects_ISS: normalised objects, amplitude * exp(i * phase).
        probe_NN: the probe P_sim.
        grid: the raster.
        gridsize: patches per group and axis.
        scale: the intensity scale s, sqrt(photon).
        count: expected photons per pixel to counted ones.
    """
    N = len(probe_NN)
    X_nCNN = np.empty((grid.patterns, gridsize**2, N, N), dtype=np.float32)
    done = 0
    for image in objects_ISS:
        for patches in patch_blocks(image, N, grid, gridsize):
            counts = count(far_field_intensity(patches * (scale * probe_NN)))
            X_nCNN[done : done + len(patches)] = np.sqrt(counts) / scale
            done += len(patches)
    return X_nCNN
