"""Best and last weights of a training, on disk. A file appears whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

PARAMETERS = "ptycho_mlf.parameters"
"""Key of a checkpoint with all parameters of the run by their flat names."""


class BestAndLast(L.Callback):
    """Keeps `best.ckpt` (weights at the lowest validation loss; first on ties) and `last.ckpt` (everything)."""

    def __init__(self, folder: Path) -> None:
        self.best_path, self.last_path = folder / "best.ckpt", folder / "last.ckpt"
        self.best_loss = float("inf")
        self.best_epoch: int | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def update(self, trainer: L.Trainer, epoch: int, val_loss: float) -> None:
        """Save after the validation of an epoch. A non-finite loss is never the best."""
        if val_loss < self.best_loss:
            self.best_loss, self.best_epoch = val_loss, epoch
            _save(trainer, self.best_path, weights_only=True)
        self.keep_last(trainer)

    def keep_last(self, trainer: L.Trainer) -> None:
        """Save the weights as they are."""
        _save(trainer, self.last_path, weights_only=False)


def _save(trainer: L.Trainer, path: Path, *, weights_only: bool) -> None:
    temporary = path.with_name(f".{path.name}.part")
    trainer.save_checkpoint(temporary, weights_only=weights_only)
    temporary.replace(path)


def generator_weights(path: Path) -> dict[str, Tensor]:
    """The generator's weights in a checkpoint, without executing pickled code."""
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    prefix = "model."
    return {name.removeprefix(prefix): w for name, w in checkpoint["state_dict"].items() if name.startswith(prefix)}
