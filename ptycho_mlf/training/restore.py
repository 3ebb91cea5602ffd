"""Continue a training from the end of an epoch, as if it had never been interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch

from .module import PtychoModule


def restore(trainer: L.Trainer, module: PtychoModule, path: Path) -> None:
    """Load weights, optimizer, schedule and clipping statistics; call it in `on_train_start`.

    The order of the patterns needs no state: it follows from the seed and the epoch.

    Args:
        trainer: about to take its first step.
        module: what it trains.
        path: a `last.ckpt` as it was at the end of an epoch.

    Raises:
        ValueError: a checkpoint from the middle of an epoch.
    """
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    epochs, rest = divmod(checkpoint["steps_taken"], int(trainer.num_training_batches))
    if rest:
        raise ValueError(f"{path.name}: {checkpoint['steps_taken']} steps are no whole number of epochs")
    module.load_state_dict(checkpoint["state_dict"])
    module.steps_taken = checkpoint["steps_taken"]
    module.clipper.load_state_dict(checkpoint["clipper"])
    trainer.optimizers[0].load_state_dict(checkpoint["optimizer_states"][0])
    trainer.lr_scheduler_configs[0].scheduler.load_state_dict(checkpoint["lr_schedulers"][0])
    for count in ("ready", "started", "processed", "completed"):
        setattr(trainer.fit_loop.epoch_progress.current, count, epochs)
