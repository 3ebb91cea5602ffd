"""Sharpness: the largest eigenvalue of the Hessian of a loss, by power iteration on Hessian-vector products.

Gradient descent at a fixed rate eta leaves a minimum along any direction whose curvature exceeds 2 / eta.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

SEED = 20260128
"""Of the first vector; it comes from a generator of its own."""
TOLERANCE = 0.02
"""Residual |Hv - mu v| / |mu| at which the iteration ends: an eigenvalue lies that near, mostly nearer: the error of
the Rayleigh quotient mu goes with the square of it."""
MAX_ITERATIONS = 100
"""Hessian-vector products of one iteration."""

Vector = list[Tensor]


@dataclass(frozen=True)
class Sharpness:
    """What a power iteration found."""

    top: float
    """Largest eigenvalue, loss per squared weight; NaN if a product was not finite."""
    residual: float
    """|Hv - mu v| / |mu| in the end."""
    products: int
    """Hessian-vector products spent."""

    @property
    def converged(self) -> bool:
        """Whether the residual is below the tolerance."""
        return self.residual <= TOLERANCE


def sharpness(loss: Tensor, parameters: Sequence[Tensor]) -> Sharpness:
    """Largest (not largest in magnitude) eigenvalue of the Hessian at the present weights.

    A power iteration finds the eigenvalue mu of largest magnitude. If it is negative, a second one on H - mu, which has
    no negative eigenvalue, finds the largest. The gradients in `.grad` are neither read nor written.

    Args:
        loss: scalar, with its graph.
        parameters: leaves it depends on; those it does not depend on have zero curvature.
    """
    gradients = torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True)
    # A gradient that is a constant has no graph: the loss is linear in that weight.
    curved = [g for g in gradients if g.requires_grad]

    def hessian(vector: Vector) -> Vector:
        if not curved:
            return [torch.zeros_like(v) for v in vector]
        along = [v for g, v in zip(gradients, vector, strict=True) if g.requires_grad]
        return list(torch.autograd.grad(curved, parameters, along, retain_graph=True, materialize_grads=True))

    start = _first_vector(parameters)
    found = _power_iteration(hessian, start)
    if not found.top < 0:
        return found
    above = _power_iteration(hessian, start, shift=found.top)
    return Sharpness(above.top, above.residual, found.products + above.products)


def _power_iteration(product: Callable[[Vector], Vector], vector: Vector, shift: float = 0.0) -> Sharpness:
    """Of H - shift; what is returned is an eigenvalue of H."""
    value, residual, iterations = 0.0, math.inf, 0
    while iterations < MAX_ITERATIONS and residual > TOLERANCE:
        image = [h - shift * v for h, v in zip(product(vector), vector, strict=True)]
        iterations += 1
        along, length = _dot(vector, image), math.sqrt(_dot(image, image))
        if not math.isfinite(length):
            return Sharpness(math.nan, math.inf, iterations)
        value = along + shift
        if length == 0:
            return Sharpness(value, 0.0, iterations)
        residual = math.sqrt(max(length**2 - along**2, 0.0)) / abs(value) if value else math.inf
        vector = [t / length for t in image]
    return Sharpness(value, residual, iterations)


def _first_vector(parameters: Sequence[Tensor]) -> Vector:
    """A random unit vector: the same on every device, and no other random state moves."""
    generator = torch.Generator().manual_seed(SEED)
    vector = [torch.randn(p.shape, generator=generator, dtype=p.dtype).to(p.device) for p in parameters]
    length = math.sqrt(_dot(vector, vector))
    return [v / length for v in vector]


@torch.no_grad()
def _dot(a: Vector, b: Vector) -> float:
    return float(torch.stack([(x.double() * y.double()).sum() for x, y in zip(a, b, strict=True)]).sum())
