"""A learnable scale of residual branches."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

GATE_INIT = 0.1


class Gate(nn.Module):
    """Multiplies by one learnable number."""

    unit_axis: ClassVar[dict[str, int | None]] = {"value": None}

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(GATE_INIT))

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        return self.value * x
