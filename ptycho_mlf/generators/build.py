"""From a model config to a seeded network."""

from __future__ import annotations

import threading

import torch

from ..config import ModelConfig
from .generator import Generator
from .registry import generator_info

_SEEDING = threading.Lock()
"""All threads draw from the one generator of the CPU."""


def build_generator(model: ModelConfig, N: int, channels: int, seed: int) -> Generator:
    """Build a generator with seeded initial weights; the global random state stays untouched.

    Args:
        model: architecture and size.
        N: side of pattern and patch, px.
        channels: patterns per sample, gridsize^2.
        seed: of every initial parameter; the same seed gives bit-identical weights.

    Raises:
        InputError: a depth, cap or number of modes that N does not allow, or an unknown architecture.
    """
    model.check(N, channels)
    info = generator_info(model.architecture)
    with _SEEDING, torch.random.fork_rng(devices=[]):
        # Only the generator of the CPU: `torch.manual_seed` would seed those of the accelerators as well.
        torch.default_generator.manual_seed(seed)
        body = info.body(model, N)
        return Generator(N, channels, info.lifter(model, N, channels), body, info.head(model, N, channels))
