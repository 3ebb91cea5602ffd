"""How a signal travels through a network at initialisation: forwards its size, backwards the gradient of the loss.

Mean-field view of depth: Schoenholz et al., Deep information propagation, 2017, arXiv:1611.01232.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .activation_statistics import hooked_layers, observed


@dataclass(frozen=True)
class Signal:
    """What passes one place of a network."""

    place: str
    """Path of the module; `#2` marks its second call within the pass."""
    kind: str
    """Class of the module."""
    forward_rms: float
    """RMS of |x| over the batch, channels and pixels, x being the output."""
    backward_norm: float
    """L2 norm of dL/dx; 0 where the loss does not depend on x."""


def propagate(model: nn.Module, batch: Tensor, loss: Callable[[Tensor], Tensor]) -> list[Signal]:
    """Forward RMS and backward norm at every place, in the order in which layers finish.

    The network runs once, in the mode it is in. Its weights and their `grad` stay as they are.

    Args:
        model: the network.
        batch: its input (B, ...).
        loss: sends a batch through the network and returns the scalar loss L.

    Raises:
        ValueError: the loss did not send the batch through the network.
    """
    kinds: list[tuple[str, str, float]] = []
    outputs: list[Tensor] = []

    def look(place: str, module: nn.Module, output: Tensor) -> None:
        kinds.append((place, type(module).__name__, rms(output)))
        outputs.append(output)

    with torch.enable_grad(), observed(model, look):
        # The gradient reaches places without a parameter before them, too.
        value = loss(batch.detach().clone().requires_grad_())
    if not outputs:
        raise ValueError("the loss did not send the batch through the network")
    gradients = torch.autograd.grad(value, outputs, materialize_grads=True)
    norms = [float(torch.linalg.vector_norm(gradient)) for gradient in gradients]
    return [Signal(*kind, norm) for kind, norm in zip(kinds, norms, strict=True)]


def rms(x: Tensor) -> float:
    """Root mean square of |x|."""
    return float(torch.linalg.vector_norm(x.detach())) / x.numel() ** 0.5


def outline(model: nn.Module) -> list[str]:
    """The few places that tell the course through a network: modules with parameters, at most one module deep."""
    places = hooked_layers(model)

    def nesting(name: str) -> int:
        parts = name.split(".")
        return sum(".".join(parts[:end]) in places for end in range(1, len(parts)))

    return [
        name
        for name, module in places.items()
        if nesting(name) < 2 and not name.endswith(".branch") and any(True for _ in module.parameters())
    ]
