"""Objects against a blur written out in numpy, and what the streams promise."""

import numpy as np
import pytest

from ptycho_mlf.simulation import objects
from ptycho_mlf.simulation.objects import object_amplitudes
from ptycho_mlf.simulation.streams import geometry_stream


def _direct_blur(canvas, sigma):
    """A Gaussian filter by plain sums: truncated at 4 sigma, edge pixels repeated in mirror order."""
    reach = int(4 * sigma + 0.5)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps /= taps.sum()
    padded = np.pad(canvas, reach, mode="symmetric")
    rows = np.array([np.convolve(row, taps, mode="valid") for row in padded])
    return np.array([np.convolve(column, taps, mode="valid") for column in rows.T]).T


@pytest.mark.parametrize("kind", ["lines", "disks"])
def test_amplitude_is_the_blurred_centre_of_the_canvas(kind):
    size = 64  # a margin of 32 px, less than the reach of the filter: the edges of the canvas count
    canvas = {"lines": objects._lines, "disks": objects._disks}[kind](2 * size, geometry_stream(3, "train"))
    blurred = _direct_blur(canvas, 1) + 2 * _direct_blur(canvas, 5) + 5 * _direct_blur(canvas, 10)
    (amplitude,) = object_amplitudes(kind, size, 1, geometry_stream(3, "train"))
    np.testing.assert_allclose(amplitude, blurred[32:96, 32:96], rtol=1e-12)
    assert amplitude.min() > 0


def test_lines_are_thin_connected_and_hold_both_ends():
    """One line per canvas: as many pixels as its longer side, each touching the next, no further than half a pixel."""
    side, rng = 64, np.random.default_rng(0)
    for ends in rng.random((20, 4)):
        rest = iter([np.tile(ends, (objects.LINES, 1))])
        canvas = objects._lines(side, lambda _, rest=rest: next(rest))
        r0, c0, r1, c1 = np.floor(side * ends)
        rows, columns = np.nonzero(canvas)
        assert canvas[int(r0), int(c0)] == canvas[int(r1), int(c1)] == 1
        assert canvas.sum() == max(abs(r1 - r0), abs(c1 - c0)) + 1
        length = np.hypot(r1 - r0, c1 - c0)
        off = np.abs((rows - r0) * (c1 - c0) - (columns - c0) * (r1 - r0)) / length
        assert off.max() <= 0.5 + 1e-12


def test_crossings_stay_one():
    for canvas in (objects._lines(64, geometry_stream(0, "train")), objects._disks(64, geometry_stream(0, "train"))):
        assert set(np.unique(canvas)) == {0.0, 1.0}


def test_disks_are_filled():
    """Every pixel nearer to a centre than the radius is set, and no other."""
    side, uniform = 48, geometry_stream(5, "test")
    draws = uniform((round(objects.DISKS_PER_PX * side**2), 3))
    row, column = np.mgrid[:side, :side]
    expected = np.zeros((side, side))
    for r, c, size in draws:
        expected[np.hypot(row - int(side * r), column - int(side * c)) < 2 + 6 * size] = 1
    np.testing.assert_array_equal(objects._disks(side, geometry_stream(5, "test")), expected)


@pytest.mark.parametrize("size", [196, 392])
def test_disks_have_the_contrast_of_the_lines(size):
    """The lines' own at their standard size, 392 px; that of the discs hardly depends on the size."""
    stack = object_amplitudes("disks", size, 2, geometry_stream("legacy", "train"))
    assert stack.std() / stack.mean() == pytest.approx(0.26, abs=0.03)


@pytest.mark.parametrize("kind", ["lines", "disks"])
@pytest.mark.parametrize("seed", ["legacy", 7])
def test_an_object_does_not_depend_on_how_many_follow(kind, seed):
    one = object_amplitudes(kind, 48, 1, geometry_stream(seed, "train"))
    three = object_amplitudes(kind, 48, 3, geometry_stream(seed, "train"))
    np.testing.assert_array_equal(one[0], three[0])
    assert not np.array_equal(three[0], three[1])


def test_every_seed_and_split_has_its_own_objects():
    drawn = [
        object_amplitudes("lines", 48, 1, geometry_stream(seed, split)).tobytes()
        for seed in ("legacy", 0, 1, 2)
        for split in ("train", "test")
    ]
    assert len(set(drawn)) == len(drawn)
