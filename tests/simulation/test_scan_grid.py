"""The raster against plain loops."""

import numpy as np
import pytest

from ptycho_mlf.config import DataConfig
from ptycho_mlf.simulation import scan_grid as module
from ptycho_mlf.simulation.scan_grid import patch_blocks, patch_corners, patch_views, scan_grid


def _corners_by_loops(data, split):
    stride = (data.outer_offset_train if split == "train" else data.outer_offset_test) // 2
    window = data.N + (4 if data.gridsize == 2 else 0)
    starts = range(0, data.size - window + 1, stride)
    offsets = [(0, 0), (0, 4), (4, 0), (4, 4)] if data.gridsize == 2 else [(0, 0)]
    images = data.nimgs_train if split == "train" else data.nimgs_test
    return [[(r + i, c + j) for i, j in offsets] for _ in range(images) for r in starts for c in starts]


@pytest.mark.parametrize("gridsize", [1, 2])
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(("N", "size"), [(16, 64), (16, 63 + 3), (32, 48), (16, 32)])
def test_corners_are_image_major_then_row_major(gridsize, split, N, size):
    data = DataConfig(N=N, size=size, gridsize=gridsize, nimgs_train=2, outer_offset_test=14)
    grid = scan_grid(data, split)
    corners = patch_corners(grid, gridsize)
    assert corners.dtype == np.int32
    np.testing.assert_array_equal(corners, _corners_by_loops(data, split))
    assert len(corners) == grid.patterns


@pytest.mark.parametrize("block_px", [1, 3000, 10**9])
@pytest.mark.parametrize("gridsize", [1, 2])
def test_blocks_hold_the_patches_at_the_corners(monkeypatch, gridsize, block_px):
    monkeypatch.setattr(module, "_BLOCK_PX", block_px)
    data = DataConfig(N=16, size=50, gridsize=gridsize)
    grid = scan_grid(data, "train")
    image = np.random.default_rng(0).random((50, 50))
    patches = np.concatenate(list(patch_blocks(image, 16, grid, gridsize)))
    cut = [[image[r : r + 16, c : c + 16] for r, c in group] for group in patch_corners(grid, gridsize)]
    np.testing.assert_array_equal(patches, cut)


def test_views_copy_nothing():
    image = np.zeros((50, 50))
    grid = scan_grid(DataConfig(N=16, size=50), "train")
    (view,) = patch_views(image, 16, grid, 1)
    assert np.shares_memory(view, image)
    assert not view.flags.writeable
