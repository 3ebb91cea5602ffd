"""Built-in probes, and the normalisation that makes any probe the simulated one. N patch side, px."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from ..config import PROBE_SCALE, DataConfig, InputError
from .measured_probe import measured_probe

_ZONE_PLATE_BAND = (1 / 16, 3 / 8)
"""Central stop and outer edge of the aperture, cycles/px; the edge is below Nyquist, so nothing is aliased."""


def zone_plate(N: int) -> NDArray[np.complex128]:
    """A defocused Fresnel zone plate with central stop, (N, N), dimensionless, centred on pixel (N / 2, N / 2).

    P(r) = a * integral over f in [1/16, 3/8] cycles/px of exp(-i pi a f^2) J0(2 pi f r) 2 pi f df, a = 5 N / 6 px^2:
    the inverse Hankel transform of an annular aperture with a pure defocus phase.
    """
    inner, outer = _ZONE_PLATE_BAND
    # The integrand turns in proportion to N: 256 nodes reach 1e-12 up to N = 128 and 1e-9 at the largest, 512.
    nodes, weights = np.polynomial.legendre.leggauss(256)
    f = inner + (outer - inner) * (nodes + 1) / 2
    a = 5 * N / 6
    spectrum = a * weights * (outer - inner) / 2 * np.exp(-1j * np.pi * a * f**2) * 2 * np.pi * f
    axis = np.arange(N) - N // 2
    # Pixels at the same distance share one integral.
    squared, where = np.unique(axis[:, None] ** 2 + axis**2, return_inverse=True)
    profile = [special.j0(2 * np.pi * f * r) @ spectrum for r in np.sqrt(squared)]
    return np.array(profile)[where].reshape(N, N)


def disk(N: int) -> NDArray[np.complex128]:
    """A soft-edged disc of radius about 0.17 N px, (N, N), real: a thresholded Gaussian, blurred by 1 px, plus 1e-9."""
    sigma = N / (0.7 * np.pi**2)
    g = np.exp(-((np.arange(N) - (N - 1) / 2) ** 2) / (2 * sigma**2))
    g /= g.max()
    mask = np.outer(g, g) > 0.5
    return (ndimage.gaussian_filter(mask.astype(np.float64), 1.0, mode="reflect") + 1e-9).astype(np.complex128)


def central_mask(N: int) -> NDArray[np.bool_]:
    """Pixels less than N // 4 px from the centre of the window, (N, N)."""
    axis = np.arange(N) - N // 2 + 0.5
    return np.hypot(axis[:, None], axis) < N // 4


def simulation_probe(data: DataConfig) -> tuple[NDArray[np.complex64], float]:
    """P_sim (N, N) and the real constant P_sim / P that makes mean over N^2 px of |masked P_sim| = 1 / PROBE_SCALE.

    P_sim is rounded to single precision: the very numbers a model is given also make the data.

    Raises:
        InputError: a probe file that cannot be used.
    """
    if data.probe in _BUILT_IN:
        probe = _BUILT_IN[data.probe](data.N)
    else:
        probe = measured_probe(data.probe, data.N, data.probe_smoothing)
    mean = float(np.mean(np.abs(probe) * central_mask(data.N)))
    if mean == 0:
        raise InputError(f"probe={data.probe}: it is zero within N // 4 = {data.N // 4} px of its centre")
    norm = 1 / (PROBE_SCALE * mean)
    return (norm * probe).astype(np.complex64), norm


_BUILT_IN = {"zone_plate": zone_plate, "disk": disk}
