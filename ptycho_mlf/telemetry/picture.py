"""A small picture of an object: amplitude and phase, predicted above true, as RGB pixels for a step slider."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

MAPS = ("viridis", "cividis")
"""Colours of amplitude and phase."""
_GAP = 4
"""White pixels between the rows of the picture."""

ComplexImage = NDArray[np.complexfloating[Any, Any]]


def place_tiles(tiles_nSS: ComplexImage, columns: int) -> ComplexImage:
    """Square tiles of consecutive scan rows put edge to edge, (rows * S, columns * S)."""
    side = tiles_nSS.shape[-1]
    rows = len(tiles_nSS) // columns
    return tiles_nSS.reshape(rows, columns, side, side).swapaxes(1, 2).reshape(rows * side, columns * side)


def object_picture(predicted: ComplexImage, true: ComplexImage | None, enlarge: int = 2) -> NDArray[np.uint8]:
    """Rows: predicted amplitude, true amplitude, predicted phase, true phase; (H, W, 3).

    The scale is that of the truth, so that the pictures of a run can be compared; without a truth it is the picture's
    own. The global phase, which no pattern determines, is removed.

    Args:
        predicted: object, (h, w).
        true: the same part of the true object, or None.
        enlarge: screen pixels per pixel and axis.
    """
    predicted = predicted.astype(np.complex128)
    reference = np.ones_like(predicted) if true is None else true
    with np.errstate(all="ignore"):  # A diverged network predicts any number; what is not finite is drawn as lowest.
        turned = predicted * np.exp(-1j * np.angle(np.sum(predicted * reference.conj())))
    rows: list[NDArray[np.uint8]] = []
    for part, colours in zip((np.abs, np.angle), MAPS, strict=True):
        images = [part(turned)] if true is None else [part(turned), part(true)]
        known = images[-1][np.isfinite(images[-1])]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        rows += [_coloured(image, low, max(high, low + 1e-3), colours, enlarge) for image in images]
    gap = np.full((_GAP, rows[0].shape[1], 3), 255, np.uint8)
    return np.concatenate([piece for row in rows for piece in (row, gap)][:-1])


def _coloured(
    image: NDArray[np.floating[Any]], low: float, high: float, colours: str, enlarge: int
) -> NDArray[np.uint8]:
    with np.errstate(all="ignore"):
        scaled = np.nan_to_num(np.clip((image - low) / (high - low), 0, 1))
    pixels: NDArray[np.uint8] = matplotlib.colormaps[colours](scaled, bytes=True)
    return pixels[..., :3].repeat(enlarge, 0).repeat(enlarge, 1)
