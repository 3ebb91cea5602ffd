"""Optimizers, and a step that a device-side mask can turn into no step at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from ptycho_mlf.config import TrainingConfig

from .measured_step import Measured, MeasuredAdam, MeasuredAdamW, MeasuredSGD, StepSize


def build_optimizer(training: TrainingConfig, params: Iterable[nn.Parameter]) -> Measured:
    """The configured optimizer, fused: its kernels accept a mask on the device (`masked_step`).

    adam: weight decay as L2 gradient; adamw: decoupled; sgd: Nesterov when momentum > 0. eps is 1e-8.
    """
    groups = _decay_groups(training, list(params))
    betas = (training.beta1, training.beta2)
    common: dict[str, Any] = {"lr": training.learning_rate, "weight_decay": training.weight_decay, "fused": True}
    if training.optimizer == "sgd":
        return MeasuredSGD(groups, momentum=training.momentum, nesterov=training.momentum > 0, **common)
    kind = MeasuredAdam if training.optimizer == "adam" else MeasuredAdamW
    return kind(groups, betas=betas, eps=1e-8, **common)


def masked_step(optimizer: Measured, frozen: Tensor, *, measure: bool) -> StepSize | None:
    """One optimizer step, or none at all where `frozen` is 1, and its size where it is asked for.

    Args:
        optimizer: made by `build_optimizer`.
        frozen: float scalar on the device, 0 or 1. It is never read by the host: this is the mask that
            mixed-precision scalers use to skip a step whose gradients overflowed.
        measure: costs about as much as the step itself.
    """
    optimizer.found_inf, optimizer.measures = frozen, measure
    optimizer.step()
    return optimizer.size


def _decay_groups(training: TrainingConfig, params: list[nn.Parameter]) -> list[dict[str, Any]]:
    if not training.decay_exclude_1d:
        return [{"params": params}]
    return [
        {"params": [p for p in params if p.ndim > 1]},
        {"params": [p for p in params if p.ndim <= 1], "weight_decay": 0.0},
    ]
