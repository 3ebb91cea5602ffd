"""Multi-scale structural similarity (Wang, Simoncelli and Bovik 2003)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW = 11
"""Side of the Gaussian window, px."""
SIGMA = 1.5
SMALLEST_SIDE = WINDOW * 2 ** (len(WEIGHTS) - 1)
"""The coarsest of the 5 scales must still hold one window: 176 px."""

Image = NDArray[np.float64]


def ms_ssim(x: Image, y: Image, data_range: float) -> float:
    """MS-SSIM of two non-negative images (H, W), both sides at least 176 px.

    The contrast-structure term counts at the four fine scales, the full index at the coarsest one. Windows stay
    inside the image; between scales 2x2 blocks are averaged. A negative mean counts as 0.

    Args:
        x: image.
        y: image, same shape.
        data_range: R in C1 = (0.01 R)^2 and C2 = (0.03 R)^2, in the unit of the images; positive.
    """
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    product = 1.0
    for scale, weight in enumerate(WEIGHTS, start=1):
        mean_x, mean_y = _blur(x), _blur(y)
        var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
        covariance = _blur(x * y) - mean_x * mean_y
        similarity = (2 * covariance + c2) / (var_x + var_y + c2)
        if scale == len(WEIGHTS):
            similarity *= (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
        product *= max(float(similarity.mean()), 0.0) ** weight
        x, y = _halve(x), _halve(y)
    return product


def _blur(image: Image) -> Image:
    """Gaussian-weighted local mean on the region where the window is inside the image."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    kernel = np.exp(-(offsets**2) / (2 * SIGMA**2))
    kernel /= kernel.sum()
    inside = slice(WINDOW // 2, -(WINDOW // 2))
    return correlate1d(correlate1d(image, kernel, axis=0)[inside], kernel, axis=1)[:, inside]


def _halve(image: Image) -> Image:
    """Mean of 2x2 blocks; an odd last row or column is dropped."""
    rows, columns = image.shape[0] // 2, image.shape[1] // 2
    return image[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).mean(axis=(1, 3))
