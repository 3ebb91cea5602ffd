"""Pictures of objects: tiles in their places, colours on the truth's scale."""

from __future__ import annotations

import matplotlib
import numpy as np

from ptycho_mlf.telemetry.picture import object_picture, place_tiles

RNG = np.random.default_rng(0)


def test_tiles_come_back_as_the_image_they_were_cut_from():
    image = RNG.normal(size=(12, 20)) + 1j
    tiles = np.array([image[r : r + 4, c : c + 4] for r in range(0, 12, 4) for c in range(0, 20, 4)])
    assert np.array_equal(place_tiles(tiles, 5), image)


def test_a_perfect_prediction_up_to_a_global_phase_looks_like_the_truth():
    true = RNG.uniform(0.5, 1.5, (6, 9)) * np.exp(1j * RNG.uniform(-0.5, 0.5, (6, 9)))
    picture = object_picture(true * np.exp(0.7j), true)
    height = 2 * 6
    assert picture.shape == (4 * height + 3 * 4, 2 * 9, 3)
    amp, true_amp, phase, true_phase = (picture[k * (height + 4) : k * (height + 4) + height] for k in range(4))
    assert np.array_equal(amp, true_amp)
    assert np.abs(phase.astype(int) - true_phase.astype(int)).max() <= 1  # one step of the colour map by rounding
    lightest = np.unravel_index(np.abs(true).argmax(), true.shape)
    expected = np.array(matplotlib.colormaps["viridis"](1.0, bytes=True))[:3]
    assert np.array_equal(true_amp[2 * lightest[0], 2 * lightest[1]], expected)


def test_values_that_are_not_finite_and_constants_are_drawn_too():
    for value in (np.nan, np.inf, 3e38):
        broken = np.full((4, 4), value + 0j, np.complex64)
        assert object_picture(broken, np.ones((4, 4), complex)).dtype == np.uint8
        assert object_picture(broken, None).dtype == np.uint8
    assert object_picture(np.zeros((4, 4), complex), None).shape == (2 * 8 + 4, 8, 3)
