"""Learning-rate schedules as closed forms of the epoch position u, driven through torch's schedulers.

u = step / steps_per_epoch for interval `step`, the whole epoch for interval `epoch`.
"""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from ptycho_mlf.config import TrainingConfig

WARMUP_START = 0.1
"""Learning rate at step 0 over its peak."""


def warmup_cosine(u: float, *, epochs: int, warmup: int, min_ratio: float) -> float:
    """Factor of the peak learning rate: linear warm-up, then half a cosine down to `min_ratio` at u = epochs."""
    if u < warmup:
        return WARMUP_START + (1 - WARMUP_START) * u / warmup
    return min_ratio + (1 - min_ratio) * (1 + math.cos(math.pi * (u - warmup) / (epochs - warmup))) / 2


def ramp(t: float, *, start_ratio: float) -> float:
    """Factor of the peak learning rate at share t of the training: exponential, from `start_ratio` to 1."""
    return start_ratio ** (1 - t)


def build_schedule(
    training: TrainingConfig, optimizer: Optimizer, *, steps_per_epoch: int, in_force: bool
) -> LambdaLR | ReduceLROnPlateau:
    """The configured schedule. `LambdaLR` is stepped after every optimizer step, the plateau after every validation.

    Args:
        training: its settings.
        optimizer: whose learning rate it sets.
        steps_per_epoch: optimizer steps per epoch.
        in_force: False keeps the learning rate constant (a confound of the earlier study).
    """
    if training.scheduler == "ReduceLROnPlateau" and in_force:
        return ReduceLROnPlateau(
            optimizer,
            factor=training.plateau_factor,
            patience=training.plateau_patience,
            threshold=0.0,
            min_lr=training.plateau_min_lr,
            eps=0.0,  # Otherwise torch ignores changes below 1e-8.
        )

    def factor(step: int) -> float:
        whole = training.scheduler_interval == "epoch"
        u = step // steps_per_epoch if whole else step / steps_per_epoch
        if training.scheduler == "Exponential" and in_force:
            return training.lr_gamma**u
        if training.scheduler == "Ramp" and in_force:
            last = max(training.epochs * steps_per_epoch - 1, 1)
            return ramp(min(step / last, 1.0), start_ratio=training.lr_min_ratio)
        if training.scheduler == "WarmupCosine" and in_force:
            return warmup_cosine(
                u, epochs=training.epochs, warmup=training.warmup_epochs, min_ratio=training.lr_min_ratio
            )
        return 1.0

    return LambdaLR(optimizer, factor)
