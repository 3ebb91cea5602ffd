from dataclasses import replace

import numpy as np
import pytest

from ptycho_mlf.config import InputError
from ptycho_mlf.evaluation.ground_truth import ground_truth
from ptycho_mlf.evaluation.stitching import Stitcher, reassemble, stitch
from ptycho_mlf.evaluation.tiles import centre_tile


@pytest.mark.parametrize(
    ("N", "gridsize", "stride", "rows", "columns", "images"),
    [
        (32, 1, 10, 4, 4, 1),
        (64, 1, 10, 3, 3, 1),
        (128, 1, 10, 2, 2, 1),
        (64, 2, 10, 3, 3, 1),
        (32, 2, 10, 3, 5, 2),
        (16, 1, 5, 6, 4, 3),
        (16, 1, 16, 3, 3, 1),
        (16, 2, 14, 2, 2, 1),
    ],
)
def test_true_patches_stitch_to_the_truth_exactly(make_scan, N, gridsize, stride, rows, columns, images):
    scan = make_scan(N, gridsize, stride, rows, columns, images)
    patches = scan.truth_patches(slice(None))
    for image in range(images):
        truth = ground_truth(scan, image)
        assert truth.shape == (rows * stride, columns * stride)
        np.testing.assert_array_equal(stitch(patches, scan, image) * scan.truth.norm_Y, truth)


@pytest.mark.parametrize(
    ("N", "gridsize", "drop", "clip", "side"),
    [(32, 1, 0, 11, 370), (64, 1, 8, 27, 330), (128, 1, 4, 59, 270), (64, 2, 4, 29, 330)],
)
def test_ground_truth_crop_of_the_published_sizes(make_scan, N, gridsize, drop, clip, side):
    """The published table: px dropped at the bottom and right of a 392 px object, then clipped on every side."""
    rows = (392 - N - 4 * (gridsize - 1)) // 10 + 1
    scan = make_scan(N, gridsize, 10, rows, rows, spare=drop)
    objects = scan.truth.objects_ISS
    assert objects.shape[1:] == (392, 392)
    cropped = objects[0, : 392 - drop, : 392 - drop][clip:-clip, clip:-clip]
    assert cropped.shape == (side, side)
    np.testing.assert_array_equal(ground_truth(scan), cropped)


def test_an_odd_border_pixel_goes_to_the_top_and_left(make_scan):
    scan = make_scan(N=16, stride=5)
    tile = centre_tile(scan)
    assert (tile.start, 16 - tile.stop) == (6, 5)


def test_nothing_outside_the_centre_tile_leaks(make_scan):
    scan = make_scan(N=32, stride=10, rows=2, columns=3)
    patches = np.full(scan.amplitude_nCNN.shape, 1e9, np.complex64)
    patches[:, :, 11:21, 11:21] = np.arange(6)[:, None, None, None]
    expected = np.kron(np.arange(6).reshape(2, 3), np.ones((10, 10)))
    np.testing.assert_array_equal(stitch(patches, scan), expected)


def test_groups_are_averaged_on_their_window():
    """Four patches of 1, 2, 3, 4: single corners, pairs on the edges, the mean of all in the middle."""
    patches = np.broadcast_to(np.array([1, 2, 3, 4j])[None, :, None, None], (1, 4, 6, 6)).astype(np.complex64)
    offsets = np.array([(0, 0), (0, 4), (4, 0), (4, 4)], np.int32)
    edge = np.repeat([0, 1, 2], [4, 2, 4])
    values = np.array([[1, 1.5, 2], [2, 1.5 + 1j, 1 + 2j], [3, 1.5 + 2j, 4j]])
    np.testing.assert_array_equal(reassemble(patches, offsets, 10)[0], values[np.ix_(edge, edge)])


def test_refuses_what_cannot_be_stitched(make_scan):
    scan = make_scan()
    patches = scan.truth_patches(slice(None))
    with pytest.raises(ValueError, match="shape"):
        stitch(patches[:-1], scan)
    swapped = scan.corners_nC2.copy()
    swapped[[3, 4]] = swapped[[4, 3]]
    with pytest.raises(InputError, match="raster of 6 px"):
        stitch(patches, replace(scan, corners_nC2=swapped))
    with pytest.raises(InputError, match="stride 20 px"):
        stitch(patches, replace(scan, grid=replace(scan.grid, stride=20)))
    with pytest.raises(InputError, match="without a true object"):
        ground_truth(replace(scan, truth=None))
    group = make_scan(gridsize=2)
    moved = group.corners_nC2.copy()
    moved[5, 3] += 1
    with pytest.raises(InputError, match="raster"):
        stitch(group.truth_patches(slice(None)), replace(group, corners_nC2=moved))


@pytest.mark.parametrize(("N", "gridsize", "stride"), [(32, 1, 10), (16, 1, 16), (16, 1, 5), (32, 2, 10), (16, 2, 14)])
def test_an_image_grows_from_the_kept_squares_alone(make_scan, N, gridsize, stride):
    """In any order and batches of any size; the rest of a patch is never looked at."""
    scan = make_scan(N, gridsize, stride, rows=3, columns=4, images=2)
    patches = scan.truth_patches(slice(None))
    stitcher = Stitcher(scan, image=1)
    squares = patches[stitcher.patterns, :, stitcher.kept, stitcher.kept]
    assert squares.shape[-1] <= stride + 4 * (gridsize - 1)
    for first, last in ((7, 12), (0, 1), (1, 7)):
        stitcher.put(first, squares[first:last])
    np.testing.assert_array_equal(stitcher.image * scan.truth.norm_Y, ground_truth(scan, 1))


def test_what_was_not_put_is_undefined(make_scan):
    stitcher = Stitcher(make_scan(N=16, stride=6, rows=2, columns=3))
    stitcher.put(4, np.ones((1, 1, 6, 6), np.complex64))
    expected = np.kron([[np.nan] * 3, [np.nan, 1, np.nan]], np.ones((6, 6)))
    np.testing.assert_array_equal(stitcher.image, expected)


@pytest.mark.parametrize("stride", [5, 10, 14])
def test_patches_of_a_group_that_disagree_are_averaged_as_whole_patches_are(make_scan, noisy, stride):
    scan = make_scan(N=16, gridsize=2, stride=stride, rows=2, columns=3)
    patches, tile = noisy(scan, sigma=1), centre_tile(scan)
    windows = reassemble(patches, scan.corners_nC2[0] - scan.corners_nC2[0].min(axis=0), 20)[:, tile, tile]
    expected = np.block([[windows[3 * row + column] for column in range(3)] for row in range(2)])
    np.testing.assert_array_equal(stitch(patches, scan), expected)
