"""Which part of a scan window is kept when patches are stitched: the centre tile, as wide as the scan stride."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptycho_mlf.config import InputError
from ptycho_mlf.scan import Scan


def window_corners(scan: Scan) -> NDArray[np.int32]:
    """(row, column) of the first pixel of every window in its object, (n, 2)."""
    return scan.corners_nC2.min(axis=1)


def window_side(scan: Scan) -> int:
    """Side of the window that holds all C patches of a group, px."""
    return scan.N + int((scan.corners_nC2[0] - window_corners(scan)[0]).max())


def centre_tile(scan: Scan) -> slice:
    """Rows (and columns) of a window that its centre tile takes.

    A border of (window - stride) / 2 px is dropped on either side; an odd px goes to the top and left.

    Raises:
        InputError: the stride exceeds the window, so tiles would not touch.
    """
    spare = window_side(scan) - scan.grid.stride
    if spare < 0:
        raise InputError(
            f"scan stride {scan.grid.stride} px: it must not exceed the window of {window_side(scan)} px, "
            "or tiles cannot be stitched"
        )
    start = (spare + 1) // 2
    return slice(start, start + scan.grid.stride)
