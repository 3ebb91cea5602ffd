"""The step trace: one row per optimizer step, kept on the device and read by the host at flushes only."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

DEVICE_COLUMNS = (
    "loss",
    "grad_norm_preclip",
    "grad_norm_postclip",
    "clip_fraction",
    "update_ratio",
    "contrast_spatial",
    "contrast_cross_pattern",
)
COLUMNS = ("step", "epoch", "lr", *DEVICE_COLUMNS)
Column = NDArray[np.float64 | np.int64]
FLUSH_EVERY = 100
"""Steps after which the host reads the device at the latest."""


@dataclass(frozen=True)
class Rows:
    """Consecutive steps as columns of equal length (float64; step and epoch int64)."""

    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.columns["step"])

    def __getitem__(self, column: str) -> Column:
        return self.columns[column]

    @classmethod
    def concatenate(cls, parts: Sequence[Rows]) -> Rows:
        """Rows one after the other; none give empty columns."""
        return cls({name: np.concatenate([part[name] for part in parts] or [[]]) for name in COLUMNS})


class StepTrace:
    """Rows of all steps so far.

    A row whose loss or gradient norm is not finite is the last one: the weights stay as they are from there on.
    """

    def __init__(self, device: torch.device) -> None:
        self._pending = torch.zeros(FLUSH_EVERY, len(DEVICE_COLUMNS), device=device)
        self._host: list[tuple[int, int, float]] = []
        self._chunks: list[Rows] = []
        self.nonfinite_step: int | None = None

    @torch.no_grad()
    def record(self, step: int, epoch: int, lr: float, **values: Tensor) -> None:
        """Add one step. `values` are scalar tensors on the device, one per device column; nothing is read."""
        self._pending[len(self._host)] = torch.stack([values[name] for name in DEVICE_COLUMNS])
        self._host.append((step, epoch, lr))

    @property
    def is_full(self) -> bool:
        """True when the next step needs a flush first."""
        return len(self._host) == FLUSH_EVERY

    def flush(self) -> Rows:
        """Read the pending steps from the device and return them, cut after the first non-finite one."""
        count = len(self._host)
        device_values = self._pending[:count].cpu().double().numpy()
        steps, epochs, rates = (np.array(column) for column in zip(*self._host, strict=True)) if count else ([], [], [])
        self._host = []
        if self.nonfinite_step is not None:
            count = 0
        broken = np.flatnonzero(~np.isfinite(device_values[:count, :2]).all(axis=1))
        if broken.size:
            count = int(broken[0]) + 1
            self.nonfinite_step = int(steps[broken[0]])
        rows = Rows(
            {
                "step": np.asarray(steps[:count], np.int64),
                "epoch": np.asarray(epochs[:count], np.int64),
                "lr": np.asarray(rates[:count], np.float64),
                **{name: device_values[:count, i] for i, name in enumerate(DEVICE_COLUMNS)},
            }
        )
        self._chunks.append(rows)
        return rows

    def rows(self) -> Rows:
        """All flushed rows."""
        return Rows.concatenate(self._chunks)


def write_trace(rows: Rows, path: Path) -> None:
    """Write a trace as one parquet file; the file appears whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(pa.table({name: rows[name] for name in COLUMNS}), temporary)
    temporary.rename(path)


def read_trace(path: Path) -> Rows:
    """Read a trace written by `write_trace`."""
    table = pq.read_table(path)
    return Rows({name: table[name].to_numpy() for name in COLUMNS})
