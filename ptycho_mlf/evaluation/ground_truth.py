"""The part of the true object that the stitched centre tiles cover."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptycho_mlf.config import InputError
from ptycho_mlf.scan import Scan, Truth

from .tiles import centre_tile, window_corners


def known_truth(scan: Scan) -> Truth:
    """The truth of a scan.

    Raises:
        InputError: the scan has none.
    """
    if scan.truth is None:
        raise InputError("scan without a true object: reconstructions can be scored only where the truth is known")
    return scan.truth


def ground_truth(scan: Scan, image: int = 0) -> NDArray[np.complex128]:
    """True object of one image, cropped to the tiles, in object units: (rows * stride, columns * stride).

    The crop drops what no window reaches at the bottom and right, and the border around the centre tiles.

    Raises:
        InputError: the scan has no truth.
    """
    objects_ISS = known_truth(scan).objects_ISS
    grid, start = scan.grid, centre_tile(scan).start
    row, column = window_corners(scan)[image * grid.rows * grid.columns] + start
    rows, columns = slice(row, row + grid.rows * grid.stride), slice(column, column + grid.columns * grid.stride)
    return objects_ISS[image, rows, columns].astype(np.complex128)
