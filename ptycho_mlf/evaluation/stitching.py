"""One image from overlapping patches: the centre tile of every window, edge to edge, without blending.

Shapes: n windows of an image, B of them at a time, C channels, N patch side, k side of what is kept of it, W window
side, all lengths in px.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_mlf.config import InputError
from ptycho_mlf.scan import Scan

from .tiles import centre_tile, window_corners

ComplexArray = NDArray[np.complexfloating[Any, Any]]


class Stitcher:
    """An image that grows as its patches come in; no patch is stored, and only `kept` of each is needed."""

    patterns: slice
    """The patterns of the scan that the image is made of."""
    kept: slice
    """Rows, and the same columns, of a patch that the image needs: its tile, and in groups those of its neighbours."""
    image: NDArray[np.complex128]
    """(rows * stride, columns * stride), in the patches' own units; NaN where no patch was put yet."""

    def __init__(self, scan: Scan, image: int = 0) -> None:
        """Prepare one image of a scan.

        Raises:
            InputError: the windows are not a raster, row by row, at the stride of the grid.
        """
        grid, tile = scan.grid, centre_tile(scan)
        self.patterns = slice(image * grid.rows * grid.columns, (image + 1) * grid.rows * grid.columns)
        corners_n2 = window_corners(scan)[self.patterns]
        offsets_nC2 = scan.corners_nC2[self.patterns] - corners_n2[:, None]
        steps_n2 = grid.stride * np.argwhere(np.ones((grid.rows, grid.columns)))
        if not np.array_equal(corners_n2 - corners_n2[0], steps_n2) or (offsets_nC2 != offsets_nC2[0]).any():
            raise InputError(f"scan positions: they must be a raster of {grid.stride} px, row by row, to be stitched")
        self._offsets_C2, spread = offsets_nC2[0], int(offsets_nC2[0].max())
        self.kept = slice(max(0, tile.start - spread), min(scan.N, tile.stop))
        self._tile = slice(tile.start - self.kept.start, tile.stop - self.kept.start)
        self._window = self.kept.stop - self.kept.start + spread
        self.image = np.full((grid.rows * grid.stride, grid.columns * grid.stride), np.nan + 0j)
        self._columns = grid.columns
        self._tiles = self.image.reshape(grid.rows, grid.stride, grid.columns, grid.stride).swapaxes(1, 2)

    def put(self, first: int, patches_BCkk: ComplexArray) -> None:
        """Put the kept squares of the image's patterns `first`, `first + 1`, ... where they belong."""
        windows_BWW = patches_BCkk[:, 0]
        if patches_BCkk.shape[1] > 1:
            with np.errstate(over="ignore", invalid="ignore"):  # a broken prediction is a result here, no accident
                windows_BWW = reassemble(patches_BCkk, self._offsets_C2, self._window)
        rows, columns = np.divmod(np.arange(first, first + len(patches_BCkk)), self._columns)
        self._tiles[rows, columns] = windows_BWW[:, self._tile, self._tile]


def stitch(patches_nCNN: ComplexArray, scan: Scan, image: int = 0) -> NDArray[np.complex128]:
    """Stitch the patches of one image to (rows * stride, columns * stride), in the patches' own units.

    Args:
        patches_nCNN: patches of the whole scan.
        scan: where they were taken.
        image: which of its images.

    Raises:
        ValueError: the patches do not have the shape of the scan.
        InputError: the windows are not a raster, row by row, at the stride of the grid.
    """
    if patches_nCNN.shape != scan.amplitude_nCNN.shape:
        raise ValueError(f"patches of shape {patches_nCNN.shape}: the scan has {scan.amplitude_nCNN.shape}")
    stitcher = Stitcher(scan, image)
    stitcher.put(0, patches_nCNN[stitcher.patterns, :, stitcher.kept, stitcher.kept])
    return stitcher.image


def reassemble(patches_nCNN: ComplexArray, offsets_C2: NDArray[np.int32], window: int) -> NDArray[np.complex128]:
    """Average the C shifted patches of every group on their window, (n, W, W).

    Args:
        patches_nCNN: patches of n groups, or the same square of each.
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
