"""One training step seen in full: all tensors before and after it, and what the network made of the batch.

Shapes: B patterns, C channels, N pattern side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .activation_statistics import LayerStatistics
from .gradient_statistics import Layer

Tensors = dict[str, Tensor]


@dataclass
class Moment:
    """Filled while the step is taken; all tensors are on the CPU, those by name are of the model's parameters."""

    step: int
    epoch: int
    """From 1."""
    batch: int
    """Within the epoch, from 0."""
    lr: float
    """Of this step."""
    patterns: NDArray[np.integer[Any]]
    """(B,) indices into the train scan."""
    amplitude: Tensor
    """(B, C, N, N) measured."""
    object: Tensor
    """(B, C, N, N) complex, predicted with the weights before the step."""
    predicted: Tensor
    """(B, C, N, N) amplitude of that."""
    activations: list[LayerStatistics]
    outputs: Mapping[str, NDArray[np.int64]]
    """Exponent histogram of every layer's output, in the order of the forward pass."""
    weights: Tensors
    """Before the step."""
    optimizer: Mapping[str, Tensors]
    """State by kind, before the step; scalars among it."""
    clipper: Tensors
    """Statistics before the step."""
    schedule: Mapping[str, Any]
    """State before the step."""
    layers: list[Layer] = field(default_factory=list[Layer])
    gradients: Tensors = field(default_factory=dict[str, Tensor])
    """Before clipping."""
    postclip_norms: Mapping[str, float] = field(default_factory=dict[str, float])
    updates: Tensors = field(default_factory=dict[str, Tensor])
    """Weights after minus before the step."""

    def errors(self) -> NDArray[np.float64]:
        """Mean |A - X| of every pattern over the mean X of the batch, (B,): their mean is the batch's `mae`."""
        away = (self.predicted.double() - self.amplitude.double()).abs().mean((1, 2, 3))
        return (away / self.amplitude.double().mean()).numpy()

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """What is stored, by names such as `gradient/body.encoder.0.branch.local.weight`."""
        for kind, tensors in (("weight", self.weights), ("gradient", self.gradients), ("update", self.updates)):
            yield from ((f"{kind}/{name}", tensor) for name, tensor in tensors.items())
        for kind, tensors in self.optimizer.items():
            yield from ((f"optimizer/{kind}/{name}", tensor) for name, tensor in tensors.items())
        yield from ((f"clipper/{name}", tensor) for name, tensor in self.clipper.items())
        yield from (("batch/amplitude", self.amplitude), ("batch/object", self.object))
        yield "batch/predicted_amplitude", self.predicted
