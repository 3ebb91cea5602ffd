import numpy as np
import pytest

from ptycho_mlf.config import InputError
from ptycho_mlf.evaluation.alignment import align, remove_plane, unalignable, wrap
from ptycho_mlf.evaluation.reason import Reason

RANDOM = np.random.default_rng(3)
ROWS, COLUMNS = np.mgrid[:30, :41]


def picture(shape=(30, 41)) -> np.ndarray:
    return (2 + RANDOM.random(shape)) * np.exp(0.4j * RANDOM.standard_normal(shape))


def test_a_ramp_scale_and_phase_are_removed_exactly():
    truth = picture()
    ramp = 0.011 * ROWS - 0.007 * COLUMNS + 0.3
    pair = align(truth * np.exp(1j * ramp) * 0.2, truth)
    assert pair.factor == pytest.approx(5, rel=1e-14)
    np.testing.assert_allclose(pair.amp, pair.truth_amp, rtol=1e-13)
    np.testing.assert_allclose(pair.phase, pair.truth_phase, atol=1e-13)
    np.testing.assert_array_equal(pair.truth_amp, np.abs(truth)[2:-2, 2:-2])


def test_mean_mode_keeps_the_ramp():
    truth = picture()
    ramp = 0.01 * COLUMNS
    pair = align(truth * np.exp(1j * ramp), truth, "mean")
    inner = ramp[2:-2, 2:-2]
    np.testing.assert_allclose(pair.phase - pair.truth_phase, inner - inner.mean(), atol=1e-13)


def test_plane_is_the_least_squares_plane():
    """Oracle: numpy.linalg.lstsq with explicit coordinates, on an image that is not square."""
    phase = RANDOM.standard_normal(ROWS.shape) + 0.2 * ROWS
    design = np.stack([COLUMNS.ravel(), ROWS.ravel(), np.ones(ROWS.size)], axis=1)
    plane = design @ np.linalg.lstsq(design, phase.ravel(), rcond=None)[0]
    np.testing.assert_allclose(remove_plane(phase), phase - plane.reshape(phase.shape), atol=1e-12)


@pytest.mark.parametrize("turn", [0.0, 1.0, np.pi, -2.5, 20.0])
def test_global_phase_is_found_and_removed_before_phases_can_wrap(turn):
    truth = picture()
    pair = align(truth * np.exp(1j * turn), truth)
    assert np.exp(1j * pair.global_phase) == pytest.approx(np.exp(1j * turn), abs=1e-12)
    np.testing.assert_allclose(pair.phase, pair.truth_phase, atol=1e-12)


def test_wrap_is_the_half_open_interval_and_leaves_the_inside_alone():
    angles = np.array([0.1, -3.0, np.pi, -np.pi, 1.5 * np.pi, -7 * np.pi / 2, 100.0])
    expected = [0.1, -3.0, np.pi, np.pi, -0.5 * np.pi, np.pi / 2, 100 - 32 * np.pi]
    np.testing.assert_allclose(wrap(angles), expected, atol=1e-13)
    np.testing.assert_array_equal(wrap(angles[:3]), angles[:3])


def test_phase_errors_are_wrapped():
    """Half the phases near +pi, half of the predictions over the edge: errors of 0.2 rad, not of 6 rad."""
    truth = np.exp(1j * np.where(ROWS % 2, 3.1, -3.1))
    pair = align(truth * np.exp(0.2j * (-1.0) ** COLUMNS), truth, "mean")
    assert np.abs(pair.phase - pair.truth_phase).max() > 6
    assert np.abs(pair.error("phase")).max() < 0.3


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (1.0, None),
        (1e-300, None),
        (0.0, Reason.ZERO_AMPLITUDE),
        (1e-310, Reason.ZERO_AMPLITUDE),
        (np.nan, Reason.NONFINITE),
        (complex(0, -np.inf), Reason.NONFINITE),
        (complex(1.7e308, 1.7e308), Reason.NONFINITE),
        (1e307, Reason.NONFINITE),  # finite pixels, but their sum is not
    ],
)
def test_what_cannot_be_aligned(value, reason):
    assert unalignable(np.full((9, 9), value, complex)) is reason


def test_border_pixels_do_not_save_a_zero_prediction():
    prediction = np.zeros((9, 9), complex)
    prediction[0] = 1
    assert unalignable(prediction) is Reason.ZERO_AMPLITUDE


def test_huge_predictions_align_without_overflow():
    truth = picture()
    pair = align(truth * 1e304, truth)
    np.testing.assert_allclose(pair.amp, pair.truth_amp, rtol=1e-12)


def test_refuses_an_image_that_the_trim_eats():
    with pytest.raises(InputError, match="5 x 9 px: it needs 6 px"):
        align(np.ones((5, 9), complex), np.ones((5, 9), complex))
    assert align(np.ones((6, 9), complex), np.ones((6, 9), complex)).amp.shape == (2, 5)
