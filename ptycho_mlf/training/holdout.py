"""Which patterns of the train scan are trained on and which are held out for validation."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ptycho_mlf.config import RunConfig
from ptycho_mlf.config.streams import generator
from ptycho_mlf.scan import ScanGrid

Index = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Holdout:
    """Indices of the patterns that are trained on, and of those that validate."""

    train: Index
    """Into the train scan."""
    val: Index
    """Into the scan named by `val_scan`."""
    val_scan: Literal["train", "test"]

    def dataset_hash(self, simulation_key: str) -> str:
        """16 hex digits over everything that decides what the network sees."""
        digest = hashlib.sha256(f"{simulation_key}|{self.val_scan}".encode())
        for index in (self.train, self.val):
            digest.update(b"|" + np.asarray(index, np.int64).tobytes())
        return digest.hexdigest()[:16]


def hold_out(config: RunConfig, train_grid: ScanGrid, test_grid: ScanGrid) -> Holdout:
    """Hold out the last scan rows of every train object, drop the guard rows before them, then draw the subset.

    With val_source=test every train pattern is trained on and the test scan validates, as in the earlier study.
    """
    data, grid = config.data, train_grid
    index = np.arange(grid.patterns).reshape(grid.images, grid.rows, -1)
    val, val_scan = np.arange(test_grid.patterns), "test"
    if config.replication.val_source == "holdout":
        first = grid.rows - data.val_rows
        val, val_scan = index[:, first:].ravel(), "train"
        index = index[:, : first - data.val_guard_rows]
    train = index.ravel()
    if data.train_patterns:
        chosen = generator(data.split_seed, "split").permutation(train.size)[: data.train_patterns]
        train = np.sort(train[chosen])
    return Holdout(train, val, val_scan)
