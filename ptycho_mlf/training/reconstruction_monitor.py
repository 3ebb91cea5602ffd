"""Pictures of the validation part of the object, epoch by epoch, from predictions that a validation makes anyway."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ptycho_mlf.scan import Scan
from ptycho_mlf.telemetry.picture import object_picture, place_tiles

from .holdout import Index
from .instruments import Instrument
from .module import PtychoModule

KEY = "reconstruction/validation"
Show = Callable[[NDArray[np.uint8], str, int], None]
"""Takes an RGB picture, its key and the global step."""


class ReconstructionMonitor(Instrument):
    """Keeps the centre tile (scan stride wide) of every validation patch and puts the tiles of the first object edge
    to edge: the held-out rows make a strip.
    """

    def __init__(self, scan: Scan, index: Index, every: int, show: Show) -> None:
        """Show every so many epochs, and before the first.

        Args:
            scan: the scan validation patterns come from.
            index: these patterns, whole scan rows in order.
            every: epochs between two pictures.
            show: is handed the pictures.
        """
        grid = scan.grid
        self._first_object = int(np.sum(index < grid.rows * grid.columns))
        self._columns, self._every, self._show = grid.columns, every, show
        self._border = (scan.N - grid.stride + 1) // 2
        self._stride = grid.stride
        self._tiles: list[Tensor] = []
        self._wanted = False
        self._truth = None
        if scan.truth is not None:
            self._truth = self._strip(self._cut(scan.truth_patches(index[: self._first_object])))

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Whether this validation is pictured; outside of the training it is the one before the first step."""
        self._tiles = []
        self._wanted = trainer.state.fn != "fit" or (trainer.current_epoch + 1) % self._every == 0

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the centre tiles; `outputs` are the predicted objects."""
        if self._wanted:
            self._tiles.append(self._cut(outputs).clone())

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: PtychoModule) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Show the picture."""
        if self._wanted:
            tiles = np.concatenate([tile.cpu().numpy() for tile in self._tiles])[: self._first_object]
            self._show(object_picture(self._strip(tiles), self._truth), KEY, pl_module.steps_taken)

    def write(self, folder: Path) -> None:
        """Nothing: the pictures have been shown."""

    def _cut(self, patches_nCNN: Any) -> Any:
        inner = slice(self._border, self._border + self._stride)
        return patches_nCNN[:, 0, inner, inner]

    def _strip(self, tiles_nSS: NDArray[np.complex64]) -> NDArray[np.complexfloating[Any, Any]]:
        return place_tiles(tiles_nSS, self._columns)
