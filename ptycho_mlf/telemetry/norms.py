"""Norms of gradients and weights, on their device."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def norm(tensors: list[Tensor]) -> Tensor:
    """L2 norm over all numbers of some tensors, a scalar on their device."""
    return norms(tensors).norm()


@torch.no_grad()
def norms(tensors: list[Tensor]) -> Tensor:
    """L2 norm of each of T tensors, (T,) on their device."""
    return torch.stack(torch._foreach_norm(tensors))
