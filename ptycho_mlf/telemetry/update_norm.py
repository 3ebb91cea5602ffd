"""Norm of the last optimizer step, from the optimizer's own state, so that no copy of the weights is kept.

Adam: dw = -lr * m^ / (sqrt(v^) + eps). AdamW adds -lr*wd*w. SGD: dw = -lr * (g' + mu*v) with g' = g + wd*w.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

_CHUNK = 4_000_000
"""Numbers handled at once: bounds the temporaries to 16 MB each."""


@torch.no_grad()
def norm(tensors: list[Tensor]) -> Tensor:
    """L2 norm over all numbers of some tensors, a scalar on their device."""
    return torch.stack(torch._foreach_norm(tensors)).norm()


@torch.no_grad()
def update_norm(optimizer: Optimizer) -> Tensor:
    """L2 norm of what the last `step()` added to the weights; call it before gradients or weights change again.

    Raises:
        TypeError: an optimizer whose update rule is not known here.
    """
    parts = [
        norm(_updates(optimizer, group, chunk))
        for group in optimizer.param_groups
        for chunk in _chunks([p for p in group["params"] if p.grad is not None])
    ]
    return torch.stack(parts).norm()


def _chunks(params: list[Tensor]) -> list[list[Tensor]]:
    chunks: list[list[Tensor]] = [[]]
    size = 0
    for param in params:
        if chunks[-1] and size + param.numel() > _CHUNK:
            chunks.append([])
            size = 0
        chunks[-1].append(param)
        size += param.numel()
    return chunks


def _updates(optimizer: Optimizer, group: dict[str, Any], params: list[Tensor]) -> list[Tensor]:
    if isinstance(optimizer, AdamW):
        decay = group["lr"] * group["weight_decay"]
        steps = _adam_steps(optimizer, group, params)
        if not decay:
            return steps
        # w_before = (w_after - dw_adam) / (1 - lr*wd); the decay took lr*wd of it.
        before = torch._foreach_sub(params, steps)
        return list(torch._foreach_add(steps, before, alpha=-decay / (1 - decay)))
    if isinstance(optimizer, Adam):
        return _adam_steps(optimizer, group, params)
    if isinstance(optimizer, SGD):
        return _sgd_steps(optimizer, group, params)
    raise TypeError(f"update norm of {type(optimizer).__name__} is not known")


def _adam_steps(optimizer: Optimizer, group: dict[str, Any], params: list[Tensor]) -> list[Tensor]:
    beta1, beta2 = group["betas"]
    state = [optimizer.state[p] for p in params]
    count = state[0]["step"].double()  # 1 - beta2 loses four digits in single precision.
    denominator = list(torch._foreach_sqrt([s["exp_avg_sq"] for s in state]))
    torch._foreach_div_(denominator, (1 - beta2**count).sqrt())
    torch._foreach_add_(denominator, group["eps"])
    steps = list(torch._foreach_div([s["exp_avg"] for s in state], denominator))
    torch._foreach_mul_(steps, -group["lr"] / (1 - beta1**count))
    return steps


def _sgd_steps(optimizer: Optimizer, group: dict[str, Any], params: list[Tensor]) -> list[Tensor]:
    lr, momentum, decay = group["lr"], group["momentum"], group["weight_decay"]
    steps = [p.grad for p in params if p.grad is not None]
    if momentum:
        buffers = [optimizer.state[p]["momentum_buffer"] for p in params]
        steps = list(torch._foreach_add(steps, buffers, alpha=momentum))
    if decay:
        # The gradient saw w_before, which solves dw = -lr*(g + mu*v + wd*(w_after - dw)).
        steps = list(torch._foreach_add(steps, params, alpha=decay))
    return list(torch._foreach_mul(steps, -lr / (1 - lr * decay)))
