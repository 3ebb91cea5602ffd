"""Seeded weights in several threads."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import torch

from ptycho_mlf.config import ModelConfig
from ptycho_mlf.generators import build_generator


def weights(seed: int) -> torch.Tensor:
    model = ModelConfig(architecture="hybrid", fno_blocks=2, width=4, modes=4)
    return torch.cat([p.detach().flatten() for p in build_generator(model, 16, 1, seed).parameters()])


def test_threads_that_build_at_once_get_the_weights_of_their_seeds():
    alone, state = [weights(seed) for seed in range(4)], torch.random.get_rng_state()
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(weights, [0, 1, 2, 3] * 4))
    finally:
        sys.setswitchinterval(before)
    assert all(torch.equal(built, alone[k % 4]) for k, built in enumerate(together))
    assert torch.equal(torch.random.get_rng_state(), state)
