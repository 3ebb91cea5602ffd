"""Object amplitudes: random shapes, blurred at three scales.

Shapes: I objects, S object side, M = 2 * S canvas side. Lengths in px.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import draw

from .streams import Uniform

LINES = 400
"""Lines per canvas, whatever its size."""
DISKS_PER_PX = 0.012
"""Discs per canvas pixel. With the radii below they give the relative contrast of the lines at size 392: 0.26."""
DISK_RADII = (2.0, 8.0)
_BLUR = ((1.0, 1.0), (2.0, 5.0), (5.0, 10.0))
"""(weight, Gaussian sigma in px) of the three scales."""

Canvas = NDArray[np.float64]


def object_amplitudes(kind: Literal["lines", "disks"], size: int, images: int, uniform: Uniform) -> NDArray[np.float64]:
    """Amplitudes (I, S, S) of a stack of objects, dimensionless, positive.

    Shapes are set to 1 on a canvas of twice the size; amplitude = G1 + 2 * G5 + 5 * G10 of it (G: Gaussian filters,
    sigma in px, edges reflected, truncated at 4 sigma), of which the central quarter is kept. All objects draw
    from one stream in sequence, so an object does not depend on how many follow.
    """
    drawn = _DRAW[kind]
    return np.stack([_blurred_centre(drawn(2 * size, uniform)) for _ in range(images)])


def _lines(side: int, uniform: Uniform) -> Canvas:
    """Bresenham lines between random end points, both included; crossings stay 1."""
    canvas = np.zeros((side, side))
    for row0, column0, row1, column1 in (side * uniform((LINES, 4))).astype(np.int64):
        canvas[draw.line(row0, column0, row1, column1)] = 1
    return canvas


def _disks(side: int, uniform: Uniform) -> Canvas:
    """Filled discs with random centres and radii; overlaps stay 1."""
    canvas = np.zeros((side, side))
    smallest, largest = DISK_RADII
    for row, column, size in uniform((round(DISKS_PER_PX * side**2), 3)):
        centre = (int(side * row), int(side * column))
        canvas[draw.disk(centre, smallest + (largest - smallest) * size, shape=canvas.shape)] = 1
    return canvas


_DRAW: dict[str, Callable[[int, Uniform], Canvas]] = {"lines": _lines, "disks": _disks}


def _blurred_centre(canvas: Canvas) -> NDArray[np.float64]:
    blurred = np.zeros_like(canvas)
    for weight, sigma in _BLUR:
        blurred += weight * ndimage.gaussian_filter(canvas, sigma, mode="reflect", truncate=4.0)
    margin = len(canvas) // 4
    return blurred[margin:-margin, margin:-margin]
