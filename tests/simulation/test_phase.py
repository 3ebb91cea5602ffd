"""The phase rule."""

import math

import numpy as np
import pytest

from ptycho_mlf.simulation.phase import phase_of


def test_phase_by_hand():
    amplitude = np.array([[[1.0, 2.0], [3.0, 6.0]]])  # mean 3, max 6
    expected = [math.pi * math.tanh((a - 3.0) / 9.0) for a in (1.0, 2.0, 3.0, 6.0)]
    np.testing.assert_allclose(phase_of(amplitude).ravel(), expected, rtol=1e-15)


def test_phase_depends_on_the_whole_stack():
    stack = np.random.default_rng(0).uniform(1, 2, (2, 8, 8))
    stack[1] *= 3
    alone, together = phase_of(stack[:1])[0], phase_of(stack)[0]
    assert np.abs(alone - together).min() > 0.1
    assert phase_of(stack)[1, 3, 3] == pytest.approx(
        math.pi * math.tanh((stack[1, 3, 3] - stack.max() / 2) / (3 * stack.sum() / 128))
    )
