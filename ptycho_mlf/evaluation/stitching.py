"""One image from overlapping patches: the centre tile of every window, edge to edge, without blending.

Shapes: n windows of the scan, C channels, N patch side, W window side, all lengths in px.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_mlf.config import InputError
from ptycho_mlf.scan import Scan

from .tiles import centre_tile, window_corners, window_side

ComplexArray = NDArray[np.complexfloating[Any, Any]]


def stitch(patches_nCNN: ComplexArray, scan: Scan, image: int = 0) -> NDArray[np.complex128]:
    """Stitch the patches of one image to (rows * stride, columns * stride), in the patches' own units.

    Raises:
        ValueError: the patches do not have the shape of the scan.
        InputError: the windows are not a raster, row by row, at the stride of the grid.
    """
    if patches_nCNN.shape != scan.amplitude_nCNN.shape:
        raise ValueError(f"patches of shape {patches_nCNN.shape}: the scan has {scan.amplitude_nCNN.shape}")
    grid, tile = scan.grid, centre_tile(scan)
    windows = slice(image * grid.rows * grid.columns, (image + 1) * grid.rows * grid.columns)
    corners_n2 = window_corners(scan)[windows]
    offsets_nC2 = scan.corners_nC2[windows] - corners_n2[:, None]
    steps_n2 = grid.stride * np.argwhere(np.ones((grid.rows, grid.columns)))
    if not np.array_equal(corners_n2 - corners_n2[0], steps_n2) or (offsets_nC2 != offsets_nC2[0]).any():
        raise InputError(f"scan positions: they must be a raster of {grid.stride} px, row by row, to be stitched")
    if scan.channels == 1:
        windows_nWW = patches_nCNN[windows, 0]
    else:
        windows_nWW = reassemble(patches_nCNN[windows], offsets_nC2[0], window_side(scan))
    tiles = windows_nWW[:, tile, tile].astype(np.complex128)
    tiles = tiles.reshape(grid.rows, grid.columns, grid.stride, grid.stride)
    return tiles.swapaxes(1, 2).reshape(grid.rows * grid.stride, grid.columns * grid.stride)


def reassemble(patches_nCNN: ComplexArray, offsets_C2: NDArray[np.int32], window: int) -> NDArray[np.complex128]:
    """Average the C shifted patches of every group on their window, (n, W, W).

    Args:
        patches_nCNN: patches of n groups.
        offsets_C2: (row, column) of every channel in the window, px.
        window: W, px.
    """
    N = patches_nCNN.shape[-1]
    total_nWW = np.zeros((len(patches_nCNN), window, window), np.complex128)
    count_WW = np.zeros((window, window))
    for channel, (row, column) in enumerate(offsets_C2):
        total_nWW[:, row : row + N, column : column + N] += patches_nCNN[:, channel]
        count_WW[row : row + N, column : column + N] += 1
    # Pixels that no patch reaches stay zero; a tile holds none as long as the offsets are smaller than a patch.
    return total_nWW / np.maximum(count_WW, 1)
