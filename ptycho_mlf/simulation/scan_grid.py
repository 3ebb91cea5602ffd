"""Where patches are taken: a raster of windows without padding, each holding one group of patches.

Shapes: n groups of all objects, C = gridsize^2 channels, R rows of windows per object (and as many columns),
N patch side. Lengths in px.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..config import GROUP_OFFSET, DataConfig
from ..scan import ScanGrid
from .streams import Split

_BLOCK_PX = 2**19
"""Pixels of a block of patches: 8 MiB as complex128, so that a step over the data stays in the processor's cache."""


def scan_grid(data: DataConfig, split: Split) -> ScanGrid:
    """The raster of one split."""
    rows = data.rows(split)
    images = data.nimgs_train if split == "train" else data.nimgs_test
    return ScanGrid(images=images, rows=rows, columns=rows, stride=data.stride(split))


def group_offsets(gridsize: int) -> NDArray[np.int32]:
    """(row, column) of the patches of a group in their window, (C, 2), row-major."""
    steps = GROUP_OFFSET * np.arange(gridsize, dtype=np.int32)
    return np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)


def patch_corners(grid: ScanGrid, gridsize: int) -> NDArray[np.int32]:
    """(row, column) of the first pixel of every patch, (n, C, 2), image-major, then row-major."""
    rows, columns = (grid.stride * np.arange(k, dtype=np.int32) for k in (grid.rows, grid.columns))
    windows = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 1, 2)
    return np.tile(windows + group_offsets(gridsize), (grid.images, 1, 1))


def patch_views(image_SS: NDArray[Any], N: int, grid: ScanGrid, gridsize: int) -> list[NDArray[Any]]:
    """The patches of one object as C read-only views (R, R, N, N); nothing is copied."""
    everywhere = sliding_window_view(image_SS, (N, N))
    step = grid.stride
    return [everywhere[row::step, column::step][: grid.rows, : grid.columns] for row, column in group_offsets(gridsize)]


def patch_blocks(image_SS: NDArray[Any], N: int, grid: ScanGrid, gridsize: int) -> Iterator[NDArray[Any]]:
    """The patches of one object in scan order, in copied blocks (b, C, N, N) of bounded size."""
    views = patch_views(image_SS, N, grid, gridsize)
    block = max(1, _BLOCK_PX // (len(views) * N * N))
    for row in range(grid.rows):
        for first in range(0, grid.columns, block):
            yield np.stack([view[row, first : first + block] for view in views], axis=1)
