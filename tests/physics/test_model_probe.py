"""One probe scale: the model's probe is the one that made the data."""

import numpy as np
import torch

from ptycho_mlf.physics.model_probe import model_probe

PROBE_PNN = np.random.default_rng(0).standard_normal((2, 8, 8, 2), np.float32).view(np.complex64)[..., 0]


def test_simulated_is_the_very_probe():
    probe = model_probe(PROBE_PNN, 1.027557, "simulated")
    assert probe.shape == (1, 1, 2, 8, 8)
    assert probe.dtype == torch.complex64
    assert probe.numpy().tobytes() == PROBE_PNN.tobytes()


def test_the_tensor_owns_its_memory():
    frozen = PROBE_PNN.copy()
    frozen.flags.writeable = False
    model_probe(frozen, 1.0, "simulated").mul_(0)
    assert frozen.all()


def test_div4_is_a_quarter_of_the_probe_before_its_normalisation():
    """1 / (4 * 1.027557) = 0.2433, the ratio of the earlier study."""
    probe = model_probe(PROBE_PNN, 1.027557, "div4")
    assert probe.dtype == torch.complex64
    np.testing.assert_allclose(probe.numpy()[0, 0] / PROBE_PNN, 0.2433, atol=1e-4)
    np.testing.assert_allclose(4 * 1.027557 * probe.numpy()[0, 0], PROBE_PNN, rtol=1e-6)
