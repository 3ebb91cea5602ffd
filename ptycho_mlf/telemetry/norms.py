"""Norms of gradients and weights, on their device."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

_SMALL = 4096
"""Numbers of a tensor up to which a call for it costs a CPU more than its numbers do."""


@torch.no_grad()
def norm(tensors: list[Tensor]) -> Tensor:
    """L2 norm over all numbers of some tensors, a scalar on their device."""
    return norms(tensors).norm()


@torch.no_grad()
def norms(tensors: list[Tensor]) -> Tensor:
    """L2 norm of each of T tensors, (T,) on their device."""
    numels = tuple(t.numel() for t in tensors)
    if tensors[0].device.type != "cpu" or max(numels) > _SMALL:
        return torch.stack(torch._foreach_norm(tensors))
    squares = torch.cat([t.reshape(-1) for t in tensors]).square_()
    return torch.segment_reduce(squares, "sum", lengths=_lengths(numels), unsafe=True).sqrt_()


@lru_cache(maxsize=64)
def _lengths(numels: tuple[int, ...]) -> Tensor:
    return torch.tensor(numels)
