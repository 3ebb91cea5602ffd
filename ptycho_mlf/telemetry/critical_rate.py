"""The critical learning rate: how far the optimizer could go along its next update before the loss of a batch rises.

With weights w and update direction u, a step at rate eta leads to w - eta * u. The critical rate eta_c is the smallest
eta with L(w - eta * u) > L(w) (Kalra et al.). For gradient descent on a quadratic that rises along one eigenvector of
curvature lambda it is 2 / lambda, so 2 / eta_c is a curvature: the critical sharpness.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

PASSES = 12
"""Most forward passes of one search: enough for a first guess within a factor of 64."""
TOLERANCE = 0.05
"""The bracket's ends differ by at most this share."""


@dataclass(frozen=True)
class CriticalRate:
    """What one search found."""

    loss: float
    """L(w)."""
    lower: float
    """Largest rate at which the loss was seen not to rise; 0 if it rose at all that were tried."""
    upper: float | None
    """Smallest rate at which it was seen to rise; None if it rose at none."""
    passes: int
    """Forward passes spent."""

    @property
    def value(self) -> float | None:
        """eta_c, the middle of the bracket; None where the search ended before it was narrow."""
        if self.upper is None or self.upper > self.lower * (1 + TOLERANCE):
            return None
        return math.sqrt(self.lower * self.upper)


@torch.no_grad()
def critical_rate(
    loss: Callable[[], Tensor], parameters: Sequence[Tensor], direction: Sequence[Tensor], start: float
) -> CriticalRate:
    """Bracket eta_c by doubling (or halving) from a first guess, then bisect its logarithm to `TOLERANCE`.

    A loss that is not finite counts as risen. The search ends with a bound after `PASSES` forward passes: the loss may
    never rise (a dead network), or rise at once (momentum that points uphill for this batch). The weights are bit for
    bit as before in the end.

    Args:
        loss: scalar loss of the batch with the weights as they are; must be deterministic.
        parameters: the weights w.
        direction: u, shapes as the weights.
        start: first guess of eta_c, > 0.

    Raises:
        ValueError: start is not positive, or the loss with the present weights is not finite.
    """
    if not start > 0:
        raise ValueError(f"start={start}: must be positive")
    weights = [p.detach().clone() for p in parameters]
    base = float(loss())
    if not math.isfinite(base):
        raise ValueError(f"loss {base}: a critical rate needs a finite loss")

    def rises(rate: float) -> bool:
        for parameter, weight, step in zip(parameters, weights, direction, strict=True):
            parameter.copy_(weight).sub_(step, alpha=rate)
        moved = float(loss())
        return not math.isfinite(moved) or moved > base

    lower, upper, rate, passes = 0.0, math.inf, start, 1
    try:
        while passes < PASSES and not (lower and upper <= lower * (1 + TOLERANCE)):
            passes += 1
            if rises(rate):
                upper = rate
            else:
                lower = rate
            if not lower:
                rate = upper / 2
            elif math.isinf(upper):
                rate = lower * 2
            else:
                rate = math.sqrt(lower * upper)
    finally:
        for parameter, weight in zip(parameters, weights, strict=True):
            parameter.copy_(weight)
    return CriticalRate(base, lower, None if math.isinf(upper) else upper, passes)


@torch.no_grad()
def update_direction(optimizer: Optimizer, gradients: Mapping[Tensor, Tensor]) -> list[Tensor]:
    """The direction u of the optimizer's next step, w <- w - lr * u, for given gradients; its state stays as it is.

    With g the gradient, w the weight, wd the weight decay and t the number of the step:
    SGD: v <- mu*v + g (v = g at first), u = g + mu*v (Nesterov), g including wd*w.
    Adam: m, v the moments after this gradient, u = m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps), g including
    wd*w. AdamW: Adam's u without decay in g, plus wd*w.

    Args:
        optimizer: SGD (plain or Nesterov), Adam or AdamW.
        gradients: of the parameters it steps, as they would enter the step (after clipping).

    Returns:
        One tensor per gradient, in the order of the mapping.

    Raises:
        TypeError: an optimizer whose update rule is not known here.
    """
    if isinstance(optimizer, SGD):
        rule = _sgd
    elif isinstance(optimizer, Adam):
        rule = _adam
    else:
        raise TypeError(f"update direction of {type(optimizer).__name__} is not known")
    groups = {parameter: group for group in optimizer.param_groups for parameter in group["params"]}
    return [rule(optimizer, groups[p], p.detach(), g, optimizer.state.get(p, {})) for p, g in gradients.items()]


def _sgd(optimizer: Optimizer, group: Mapping[str, Any], w: Tensor, g: Tensor, state: Mapping[str, Any]) -> Tensor:
    g = g + group["weight_decay"] * w
    momentum = group["momentum"]
    if not momentum:
        return g
    buffer = state.get("momentum_buffer")
    velocity = g if buffer is None else momentum * buffer + g
    return g + momentum * velocity if group["nesterov"] else velocity


def _adam(optimizer: Optimizer, group: Mapping[str, Any], w: Tensor, g: Tensor, state: Mapping[str, Any]) -> Tensor:
    decoupled, decay = isinstance(optimizer, AdamW), group["weight_decay"]
    if not decoupled:
        g = g + decay * w
    beta1, beta2 = group["betas"]
    first, second, count = (1 - beta1) * g, (1 - beta2) * g.square(), 1.0
    if state:
        first, second = first + beta1 * state["exp_avg"], second + beta2 * state["exp_avg_sq"]
        count += float(state["step"])
    root = (second / (1 - beta2**count)).sqrt()
    step = first / (1 - beta1**count) / (root + group["eps"])
    return step + decay * w if decoupled else step
