"""Streams: each its own, and what is recorded opens them again."""

import numpy as np
import pytest

from ptycho_mlf.config import DataConfig
from ptycho_mlf.simulation.streams import geometry_stream, noise_stream, recorded_seeds


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("seed", [0, 2**70])
def test_recorded_seeds_open_the_streams_again(seed, split):
    told = recorded_seeds(DataConfig(geometry_seed=seed, noise_seed=seed + 1), split)
    geometry, noise = (np.random.default_rng(np.random.SeedSequence(**told[name])) for name in ("geometry", "noise"))
    np.testing.assert_array_equal(geometry_stream(seed, split)((3, 4)), geometry.random((3, 4)))
    np.testing.assert_array_equal(noise_stream(seed + 1, split).poisson(9.0, 20), noise.poisson(9.0, 20))


@pytest.mark.parametrize(("split", "seed"), [("train", 1), ("test", 2)])
def test_the_legacy_streams_are_mersenne_twisters(split, seed):
    assert recorded_seeds(DataConfig(), split)["geometry"] == {"mt19937": seed}
    np.random.seed(seed)
    drawn = geometry_stream("legacy", split)((5,))
    np.testing.assert_array_equal(drawn, [np.random.uniform() for _ in range(5)])


def test_no_two_streams_of_the_same_seed_are_alike():
    openers = (geometry_stream, lambda seed, split: noise_stream(seed, split).random)
    drawn = {tuple(opener(0, split)((3,))) for opener in openers for split in ("train", "test")}
    assert len(drawn) == 4
