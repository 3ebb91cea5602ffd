"""The overlap constraint of a group: neighbouring patches must be cuts of one object.

Shapes: B groups, C patches per group, N patch side, S canvas side, W = N // 2 window side; all in px.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import reduce
from itertools import product
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

DAMPING = 1e-3
"""Added to the number of patches that see a pixel; it makes what is returned too small by a thousandth at most."""


def reassemble(object_BCNN: Tensor, offsets_C2: NDArray[np.integer[Any] | np.floating[Any]]) -> Tensor:
    """Merge the patches of every group into one object and cut them out of it again.

    Each patch is laid onto a common canvas at its offset. Only its central N/2 x N/2 window takes part, where the
    probe has told it something: canvas = sum of windows / (count + 0.001). Then every patch is read back at its
    offset. Translations are bilinear, and exact for whole pixels.

    Outside of what the windows of the group cover there is nothing to merge, and a patch keeps its own values. (With
    zeros there, the illuminated rim of the object would vanish, and even the true object would not give the measured
    pattern.) Where a fractional offset leaves a pixel covered by less than one window, its own value fills up the
    rest. So every pixel is a mean with weights that add up to count / (count + 0.001) with count >= 1, and patches cut
    from one object come back unchanged to a thousandth everywhere.

    Args:
        object_BCNN: complex (or real) patches.
        offsets_C2: (row, column) of every patch's first pixel relative to any common origin, px, the same for all
            groups. Held on the host, since they decide shapes.

    Returns:
        (B, C, N, N), same dtype.

    Raises:
        ValueError: patches are not square, or not one offset per patch.
    """
    _, C, N, M = object_BCNN.shape
    if N != M or offsets_C2.shape != (C, 2):
        raise ValueError(f"reassemble: {C} patches {N} x {M} px with offsets of shape {offsets_C2.shape}")
    # From the smallest offset, not from the mean: whole offsets stay whole, and their translations exact.
    corners_C2: list[tuple[float, float]] = (offsets_C2 - offsets_C2.min(axis=0)).tolist()
    side = N + math.ceil(max(max(corner) for corner in corners_C2))
    W = N // 2
    inset = (N - W) // 2

    window = slice(inset, inset + W)
    windows_BCWW = object_BCNN[..., window, window]
    one_1WW = windows_BCWW.new_ones((1, W, W), dtype=object_BCNN.real.dtype if object_BCNN.is_complex() else None)
    starts_C2 = [(row + inset, column + inset) for row, column in corners_C2]
    sum_BSS = reduce(torch.add, (_lay(windows_BCWW[:, c], start, side) for c, start in enumerate(starts_C2)))
    count_1SS = reduce(torch.add, (_lay(one_1WW, start, side) for start in starts_C2))

    merged_BCNN = torch.stack([_read(sum_BSS, corner, N) for corner in corners_C2], dim=1)
    count_1CNN = torch.stack([_read(count_1SS, corner, N) for corner in corners_C2], dim=1)
    own_1CNN = (1.0 - count_1CNN).clamp(min=0.0)
    return (merged_BCNN + own_1CNN * object_BCNN) / (count_1CNN + own_1CNN + DAMPING)


def _lay(image_BHW: Tensor, position: tuple[float, float], side: int) -> Tensor:
    """The image on an empty canvas, its first pixel at `position`."""
    _, H, W = image_BHW.shape
    laid = (
        F.pad(image_BHW * weight, (column, side - column - W, row, side - row - H))
        for row, column, weight in _taps(position)
    )
    return reduce(torch.add, laid)


def _read(canvas_BSS: Tensor, position: tuple[float, float], N: int) -> Tensor:
    """An N x N cut of the canvas with its first pixel at `position`; the transpose of `_lay`."""
    cuts = (canvas_BSS[:, row : row + N, column : column + N] * weight for row, column, weight in _taps(position))
    return reduce(torch.add, cuts)


def _taps(position: tuple[float, float]) -> Iterator[tuple[int, int, float]]:
    """Whole-pixel positions and weights of a bilinear translation; one tap of weight 1 for whole pixels."""
    axes: list[list[tuple[int, float]]] = []
    for p in position:
        whole = math.floor(p)
        rest = p - whole
        axes.append([(whole, 1.0 - rest), (whole + 1, rest)] if rest else [(whole, 1.0)])
    for (row, row_weight), (column, column_weight) in product(*axes):
        yield row, column, row_weight * column_weight
