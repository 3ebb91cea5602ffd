"""Independent random streams: one integer seed and a stream name give a generator nobody else draws from."""

from __future__ import annotations

from typing import Literal

import numpy as np

Stream = Literal["weights", "order", "geometry", "noise", "split"]
_INDEX: dict[Stream, int] = {"weights": 0, "order": 1, "geometry": 2, "noise": 3, "split": 4}


def seed_sequence(seed: int, stream: Stream, *child: int) -> np.random.SeedSequence:
    """Entropy = seed, spawn key = (stream index, *child)."""
    return np.random.SeedSequence(entropy=seed, spawn_key=(_INDEX[stream], *child))


def stream_seed(seed: int, stream: Stream, *child: int) -> int:
    """A 63-bit integer for libraries that take integers; recorded with the run."""
    return int(seed_sequence(seed, stream, *child).generate_state(1, np.uint64)[0] >> 1)


def generator(seed: int, stream: Stream, *child: int) -> np.random.Generator:
    """A numpy generator of one stream."""
    return np.random.default_rng(seed_sequence(seed, stream, *child))
