"""Transforms of the diffraction amplitude before the first layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import instance_norm

Name = Literal["none", "sqrt", "log1p", "instance_norm"]

_TRANSFORMS: dict[Name, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "sqrt": lambda x: x.clamp(min=0).sqrt(),
    "log1p": lambda x: x.clamp(min=0).log1p(),
    "instance_norm": lambda x: instance_norm(x, eps=1e-6),
}


class InputTransform(nn.Module):
    """Real (B, C, N, N) -> real (B, C, N, N), without parameters.

    `sqrt` and `log1p` take max(x, 0); `instance_norm` gives every pattern mean 0 and variance 1 (eps 1e-6).
    """

    def __init__(self, name: Name) -> None:
        super().__init__()
        self.name: Name = name

    def forward(self, x_BCNN: Tensor) -> Tensor:
        """Apply it."""
        return _TRANSFORMS[self.name](x_BCNN)

    def extra_repr(self) -> str:
        """The name, for the printed module."""
        return self.name
