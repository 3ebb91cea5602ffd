"""Convolutional block attention: what matters first among the channels, then among the pixels.

(Woo et al., CBAM: Convolutional block attention module, 2018, arXiv:1807.06521.)
Shapes: B patterns, c channels, S side.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

REDUCTION = 16
KERNEL = 7


class ChannelAttention(nn.Module):
    """x sigmoid(MLP(mean over pixels) + MLP(maximum over pixels)), (B, c, S, S) both ways.

    The MLP has one hidden layer of c / 16 units, at least one, with ReLU.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // REDUCTION)
        self.squeeze = nn.Linear(channels, hidden)
        self.activation = nn.ReLU()
        self.expand = nn.Linear(hidden, channels)

    def forward(self, x_BcSS: Tensor) -> Tensor:
        """Apply it."""
        logits_Bc = self._mlp(x_BcSS.mean((2, 3))) + self._mlp(x_BcSS.amax((2, 3)))
        return x_BcSS * logits_Bc.sigmoid()[:, :, None, None]

    def _mlp(self, pooled_Bc: Tensor) -> Tensor:
        return self.expand(self.activation(self.squeeze(pooled_Bc)))


class SpatialAttention(nn.Module):
    """x sigmoid(Conv7x7(maximum and mean over channels)), without bias; (B, c, S, S) both ways."""

    def __init__(self) -> None:
        super().__init__()
        self.compress = nn.Conv2d(2, 1, KERNEL, padding=KERNEL // 2, bias=False)

    def forward(self, x_BcSS: Tensor) -> Tensor:
        """Apply it."""
        pooled_B2SS = torch.cat([x_BcSS.amax(1, keepdim=True), x_BcSS.mean(1, keepdim=True)], dim=1)
        return x_BcSS * self.compress(pooled_B2SS).sigmoid()


class Cbam(nn.Module):
    """Channel attention, then spatial attention."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel = ChannelAttention(channels)
        self.spatial = SpatialAttention()

    def forward(self, x_BcSS: Tensor) -> Tensor:
        """Apply it."""
        return self.spatial(self.channel(x_BcSS))
