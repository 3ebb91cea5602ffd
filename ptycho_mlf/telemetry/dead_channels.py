"""Dead channels: features that are the same number for every pattern and pixel, and so carry nothing on.

They are looked for on the residual *branch* of every block, since x + branch(x) hides a dead branch, and on every stage
behind the blocks. Shapes: B patterns, c channels, S side.
"""

from __future__ import annotations

import re
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

DEAD_SHARE = 1e-6
"""A channel whose standard deviation is at most this share of its tensor's root mean square is dead."""

_PLACES = re.compile(r"(.*\.branch|body\.(mixer|encoder|resnet|decoder(\.\w+)?)\.\d+|body\.\d+)")


def places(generator: nn.Module) -> dict[str, nn.Module]:
    """Where dead channels are looked for: branches, mixers, and stages of encoders, decoders and plain bodies."""
    return {
        name: module
        for name, module in generator.named_modules()
        # A block is represented by its branch.
        if _PLACES.fullmatch(name) and not hasattr(module, "branch")
    }


class DeadChannelMeter:
    """Watches a generator while it is entered as a context, over any number of forward passes."""

    def __init__(self, generator: nn.Module) -> None:
        """Start empty and detached."""
        self._places = places(generator)
        self._moments: dict[str, _Moments] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> Self:
        """Attach."""
        for name, module in self._places.items():
            self._moments[name] = moments = _Moments()
            self._handles.append(module.register_forward_hook(lambda _m, _i, output, to=moments: to.update(output)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Detach: a training step pays nothing."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def result(self) -> dict[str, float]:
        """Share of dead channels per place, 0..1; reads the device once."""
        seen = {name: moments.dead_share() for name, moments in self._moments.items() if moments.count}
        return dict(zip(seen, torch.stack(list(seen.values())).tolist(), strict=True)) if seen else {}


class _Moments:
    """Per channel sums of one place, relative to its first value so that a constant cancels exactly."""

    def __init__(self) -> None:
        self.count = 0

    @torch.no_grad()
    def update(self, output_BcSS: Tensor) -> None:
        """Add one forward pass."""
        values = output_BcSS.float()
        if not self.count:
            self.reference_c = values[0, :, 0, 0].clone()
            self.sum_c = torch.zeros_like(self.reference_c, dtype=torch.float64)
            self.squares_c = torch.zeros_like(self.sum_c)
        difference = values - self.reference_c[:, None, None]
        self.sum_c = self.sum_c + difference.sum((0, 2, 3), dtype=torch.float64)
        self.squares_c = self.squares_c + difference.square().sum((0, 2, 3), dtype=torch.float64)
        self.count += values[:, 0].numel()

    def dead_share(self) -> Tensor:
        """Scalar on the device. A tensor of zeros is dead; one that is not finite is not."""
        mean_c = self.sum_c / self.count
        variance_c = (self.squares_c / self.count - mean_c.square()).clamp_min(0)
        mean_square = (variance_c + (mean_c + self.reference_c).square()).mean()
        return (variance_c.sqrt() <= DEAD_SHARE * mean_square.sqrt()).double().mean()
