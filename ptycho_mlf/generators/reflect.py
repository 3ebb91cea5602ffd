"""Edges for convolutions that see their image mirrored."""

from __future__ import annotations

import torch
from torch import Tensor


def reflect(x: Tensor) -> Tensor:
    """One more pixel on every side, mirrored at the edge pixel: (B, c, H, W) -> (B, c, H + 2, W + 2).

    Torch's own padding sums its gradient in no fixed order on a GPU, and no two trainings would be the same.
    """
    x = torch.cat([x[..., 1:2, :], x, x[..., -2:-1, :]], dim=-2)
    return torch.cat([x[..., 1:2], x, x[..., -2:-1]], dim=-1)
