"""Batches of diffraction amplitudes for Lightning. The patterns live on the device; a batch is an index into them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypedDict

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ptycho_mlf.config.streams import generator
from ptycho_mlf.scan import Scan

from .holdout import Holdout, Index


class Batch(TypedDict):
    """B patterns and, for a supervised loss, the true objects."""

    amplitude: Tensor
    """(B, C, N, N) float32."""
    truth: Tensor | None
    """(B, C, N, N) complex64."""


class PatchDataset(Dataset[Batch]):
    """Patterns of a scan, looked up by several indices at a time."""

    def __init__(self, scan: Scan, index: Index, device: torch.device, *, with_truth: bool) -> None:
        self.amplitude_nCNN = torch.from_numpy(scan.amplitude_nCNN[index]).to(device)
        self.truth_nCNN = torch.from_numpy(scan.truth_patches(index)).to(device) if with_truth else None

    def __len__(self) -> int:
        return len(self.amplitude_nCNN)

    def __getitem__(self, index: Tensor | list[int]) -> Batch:
        picked = torch.as_tensor(index, device=self.amplitude_nCNN.device)
        truth = None if self.truth_nCNN is None else self.truth_nCNN[picked]
        return {"amplitude": self.amplitude_nCNN[picked], "truth": truth}


class BatchOrder(Sampler[Tensor]):
    """Indices of every batch of an epoch: natural order, or shuffled by (seed, epoch) alone.

    The last batch may be partial. The order of an epoch goes to the device at once, so that no step waits for it.
    """

    def __init__(self, patterns: int, batch_size: int, device: torch.device, order_seed: int | None = None) -> None:
        self.patterns = patterns
        self.batch_size = batch_size
        self.device = device
        self.order_seed = order_seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning says which epoch comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.patterns // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        order = np.arange(self.patterns)
        if self.order_seed is not None:
            order = generator(self.order_seed, "order", self.epoch).permutation(self.patterns)
        yield from torch.from_numpy(order).to(self.device).split(self.batch_size)


class ScanDataModule(L.LightningDataModule):
    """Train and validation batches of a scan."""

    def __init__(
        self,
        train: Scan,
        holdout: Holdout,
        val: Scan,
        *,
        batch_size: int,
        order_seed: int,
        with_truth: bool,
    ) -> None:
        """Prepare without touching the device.

        Args:
            train: the train scan.
            holdout: which of its patterns are trained on.
            val: the scan that validation patterns come from: the train scan, or the test scan (val_source=test).
            batch_size: patterns per batch, for both.
            order_seed: seed of the shuffle.
            with_truth: batches carry the true objects.
        """
        super().__init__()
        self._train, self._val, self._holdout = train, val, holdout
        self._batch_size, self._order_seed, self._with_truth = batch_size, order_seed, with_truth

    def setup(self, stage: str) -> None:
        """Put the patterns on the device, once."""
        if hasattr(self, "train_set"):
            return
        if self.trainer is None:
            raise RuntimeError("a ScanDataModule is set up by a trainer")
        device = self.trainer.strategy.root_device
        self.train_set = PatchDataset(self._train, self._holdout.train, device, with_truth=self._with_truth)
        self.val_set = PatchDataset(self._val, self._holdout.val, device, with_truth=False)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled batches."""
        return _loader(self.train_set, self._batch_size, self._order_seed)

    @property
    def train_patterns(self) -> Index:
        """Indices of the train patterns into the train scan."""
        return self._holdout.train

    def batch_positions(self, epoch: int, batch: int) -> list[int]:
        """Which of the train patterns were in a batch; epochs and batches count from 0."""
        order = BatchOrder(len(self.train_set), self._batch_size, torch.device("cpu"), self._order_seed)
        order.set_epoch(epoch)
        return list(order)[batch].tolist()

    def val_dataloader(self) -> DataLoader[Batch]:
        """Batches in natural order."""
        return _loader(self.val_set, self._batch_size)


def _loader(patches: PatchDataset, batch_size: int, order_seed: int | None = None) -> DataLoader[Batch]:
    order = BatchOrder(len(patches), batch_size, patches.amplitude_nCNN.device, order_seed)
    # With a generator of its own the loader leaves torch's global random state alone.
    return DataLoader(patches, sampler=order, batch_size=None, generator=torch.Generator())
