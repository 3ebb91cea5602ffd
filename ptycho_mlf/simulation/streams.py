"""Random streams of a data set: train and test draw their geometry and their noise from four separate streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..config import DataConfig
from ..config.streams import Stream, generator, seed_sequence

Split = Literal["train", "test"]
Uniform = Callable[[tuple[int, ...]], NDArray[np.float64]]
"""Takes a shape, gives numbers of [0, 1)."""

_CHILD: dict[Split, int] = {"train": 0, "test": 1}
_LEGACY_SEED: dict[Split, int] = {"train": 1, "test": 2}


def geometry_stream(seed: int | Literal["legacy"], split: Split) -> Uniform:
    """Uniform numbers that place the shapes of one stack of objects.

    `legacy` is the Mersenne Twister of numpy's legacy interface, seed 1 for train and 2 for test.
    """
    if seed == "legacy":
        return np.random.RandomState(_LEGACY_SEED[split]).random_sample
    return generator(seed, "geometry", _CHILD[split]).random


def noise_stream(seed: int, split: Split) -> np.random.Generator:
    """The generator of one split's Poisson draws."""
    return generator(seed, "noise", _CHILD[split])


def recorded_seeds(data: DataConfig, split: Split) -> dict[str, Any]:
    """What it takes to open the streams again; JSON values only."""

    def sequence(seed: int, stream: Stream) -> dict[str, Any]:
        return {"entropy": seed, "spawn_key": list(seed_sequence(seed, stream, _CHILD[split]).spawn_key)}

    seed = data.geometry_seed
    return {
        "geometry": {"mt19937": _LEGACY_SEED[split]} if seed == "legacy" else sequence(seed, "geometry"),
        "noise": sequence(data.noise_seed, "noise") if data.noise == "poisson" else None,
    }
