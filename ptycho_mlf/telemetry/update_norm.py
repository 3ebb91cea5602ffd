"""Norm of the last optimizer step, from the optimizer's own state, so that no copy of the weights is kept.

With w the weights after the step and lr the rate, the step was
Adam:  d = -lr * m^ / (sqrt(v^) + eps)
AdamW: (d - lr*wd*w) / (1 - lr*wd), with Adam's d
SGD:   -lr * (g + mu*v + wd*w) / (1 - lr*wd)
where m^ and v^ are the bias-corrected moments, g the gradient and v the momentum buffer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

_CPU_CHUNK = 1 << 18
"""Numbers handled at once on a CPU: the temporaries stay in its cache and are reused. A GPU takes all at once."""


@torch.no_grad()
def norm(tensors: list[Tensor]) -> Tensor:
    """L2 norm over all numbers of some tensors, a scalar on their device."""
    return norms(tensors).norm()


@torch.no_grad()
def norms(tensors: list[Tensor]) -> Tensor:
    """L2 norm of each of T tensors, (T,) on their device."""
    return torch.stack(torch._foreach_norm(tensors))


@torch.no_grad()
def update_norms(optimizer: Optimizer) -> Tensor:
    """L2 norms of what the last `step()` added to each weight; call it before gradients or weights change again.

    Returns:
        (T,): one number per parameter that has a gradient, in the order of the optimizer's groups.

    Raises:
        TypeError: an optimizer whose update rule is not known here.
    """
    if isinstance(optimizer, SGD):
        group_norms = _sgd
    elif isinstance(optimizer, Adam):
        group_norms = _adam
    else:
        raise TypeError(f"update norm of {type(optimizer).__name__} is not known")
    groups = [g for g in optimizer.param_groups if any(p.grad is not None for p in g["params"])]
    return torch.cat([group_norms(optimizer, group) for group in groups])


def _adam(optimizer: Optimizer, group: dict[str, Any]) -> Tensor:
    beta1, beta2 = group["betas"]
    params = [p for p in group["params"] if p.grad is not None]
    state = [optimizer.state[p] for p in params]
    count = state[0]["step"].double()  # 1 - beta2 loses four digits in single precision.
    root = (1 - beta2**count).sqrt()
    eps = root * group["eps"]
    scale = group["lr"] * root / (1 - beta1**count)
    decay = group["lr"] * group["weight_decay"] if isinstance(optimizer, AdamW) else 0.0
    pieces, counts = _pieces([(p, s["exp_avg"], s["exp_avg_sq"]) for p, s in zip(params, state, strict=True)])
    piece_norms: list[Tensor] = []
    for w, m, v in _chunks(pieces):
        step = list(torch._foreach_sqrt(v))
        torch._foreach_add_(step, eps)
        step = list(torch._foreach_div(m, step))
        if decay:
            torch._foreach_mul_(step, scale / decay)
            torch._foreach_add_(step, w)
        piece_norms += torch._foreach_norm(step)
    return _joined(piece_norms, counts) * (decay / (1 - decay) if decay else scale)


def _sgd(optimizer: Optimizer, group: dict[str, Any]) -> Tensor:
    lr, momentum, decay = group["lr"], group["momentum"], group["weight_decay"]
    fields: list[tuple[Tensor, ...]] = [
        (p, p.grad, optimizer.state[p]["momentum_buffer"]) if momentum else (p, p.grad)
        for p in group["params"]
        if p.grad is not None
    ]
    pieces, counts = _pieces(fields)
    piece_norms: list[Tensor] = []
    for w, g, *v in _chunks(pieces):
        step = g
        if momentum:
            step = list(torch._foreach_add(step, v[0], alpha=momentum))
        if decay:
            step = list(torch._foreach_add(step, w, alpha=decay))
        piece_norms += torch._foreach_norm(step)
    return _joined(piece_norms, counts) * (lr / (1 - lr * decay))


def _pieces(fields: list[tuple[Tensor, ...]]) -> tuple[list[tuple[Tensor, ...]], list[int]]:
    """Tensors that belong together, cut along their first axis on a CPU, and the number of pieces of each."""
    pieces: list[tuple[Tensor, ...]] = []
    counts: list[int] = []
    for field in fields:
        rows = field[0].shape[0] if field[0].ndim else 1
        whole = field[0].device.type != "cpu" or field[0].numel() <= _CPU_CHUNK
        rows_at_once = max(1, _CPU_CHUNK * rows // field[0].numel())
        cut = [field] if whole else list(zip(*(t.split(rows_at_once) for t in field), strict=True))
        pieces += cut
        counts.append(len(cut))
    return pieces, counts


def _chunks(pieces: list[tuple[Tensor, ...]]) -> Iterator[list[list[Tensor]]]:
    """Pieces gathered into chunks, one list per field."""
    limit = _CPU_CHUNK if pieces[0][0].device.type == "cpu" else sum(piece[0].numel() for piece in pieces)
    chunk: list[tuple[Tensor, ...]] = []
    size = 0
    for piece in pieces:
        if chunk and size + piece[0].numel() > limit:
            yield [list(column) for column in zip(*chunk, strict=True)]
            chunk, size = [], 0
        chunk.append(piece)
        size += piece[0].numel()
    yield [list(column) for column in zip(*chunk, strict=True)]


def _joined(piece_norms: list[Tensor], counts: list[int]) -> Tensor:
    """Norms of the pieces to norms of the tensors they were cut from."""
    joined = torch.stack(piece_norms)
    return joined if len(counts) == len(piece_norms) else norms(list(joined.split(counts)))
