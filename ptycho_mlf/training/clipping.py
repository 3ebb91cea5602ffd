"""Gradient clipping: norm, value, adaptive (unit-wise and per tensor) and z-score. Everything stays on the device."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from ptycho_mlf.config import TrainingConfig
from ptycho_mlf.telemetry.norms import norm

_CPU_PIECE = 1 << 17
"""Numbers of a piece."""
AGC_EPS = 1e-3
"""Smallest unit norm of a weight that adaptive clipping assumes."""


@dataclass(frozen=True)
class Clipped:
    """What a clip did, as scalars on the device."""

    postclip_norm: Tensor
    fraction: Tensor
    """Share of units that were scaled, 0..1: all gradients, numbers or units, as the algorithm counts them."""


class Clipper(Protocol):
    """Clips the gradients of its parameters in place."""

    def __call__(self, preclip_norm: Tensor) -> Clipped:
        """Clip, given the global L2 norm of all gradients."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """What has to be kept in a checkpoint."""
        ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore it."""
        ...


def build_clipper(
    training: TrainingConfig,
    params: Mapping[str, nn.Parameter],
    unit_axes: Mapping[str, int | None],
    head: Collection[str],
) -> Clipper:
    """The configured clipper.

    Args:
        training: algorithm and threshold.
        params: parameters by name.
        unit_axes: the axis of each parameter that counts its units; None exempts it from adaptive clipping.
        head: names of the output head's parameters.
    """
    threshold = training.clip_threshold
    every = list(params.values())
    match training.clip_algorithm:
        case "norm":
            return NormClip(every, threshold)
        case "value":
            return ValueClip(every, threshold)
        case "zclip":
            return ZClip(every, threshold)
        case "agc_per_tensor":
            return AdaptiveClip([(p, None) for p in every], every, threshold)
        case "agc":
            excluded = set(head) if training.agc_exclude_head else set[str]()
            units = [(p, unit_axes[n]) for n, p in params.items() if unit_axes[n] is not None and n not in excluded]
            return AdaptiveClip(units, every, threshold)
        case "none":
            return NoClip()


def _gradients(params: list[nn.Parameter]) -> list[Tensor]:
    return [p.grad for p in params if p.grad is not None]


def _pieces(tensors: list[Tensor]) -> list[Tensor]:
    """Views of all numbers; on a CPU short ones, whose temporaries stay in its cache."""
    if tensors[0].device.type != "cpu":
        return tensors
    pieces: list[Tensor] = []
    for tensor in tensors:
        small = tensor.numel() <= _CPU_PIECE
        pieces += [tensor] if small else tensor.split(max(1, _CPU_PIECE * len(tensor) // tensor.numel()))
    return pieces


class NoClip:
    """Leaves the gradients alone."""

    def __call__(self, preclip_norm: Tensor) -> Clipped:
        """Nothing is clipped."""
        return Clipped(preclip_norm, torch.zeros_like(preclip_norm))

    def state_dict(self) -> dict[str, Tensor]:
        """No state."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """No state."""


class NormClip(NoClip):
    """g <- g * c / G where the global norm G exceeds c."""

    def __init__(self, params: list[nn.Parameter], threshold: float) -> None:
        self.params, self.threshold = params, threshold

    def __call__(self, preclip_norm: Tensor) -> Clipped:
        """Scale all gradients together."""
        return _scale_to(self.params, preclip_norm, preclip_norm.clamp_max(self.threshold))


class ValueClip(NoClip):
    """Every real number of a gradient is clamped to [-c, c]."""

    def __init__(self, params: list[nn.Parameter], threshold: float) -> None:
        self.params, self.threshold = params, threshold

    def __call__(self, preclip_norm: Tensor) -> Clipped:
        """Clamp number by number."""
        gradients = _gradients(self.params)
        outside: list[Tensor] = []
        for piece in _pieces(gradients):
            outside.append((piece.abs() > self.threshold).count_nonzero())
            piece.clamp_(-self.threshold, self.threshold)
        total = sum(g.numel() for g in gradients)
        return Clipped(norm(gradients), torch.stack(outside).sum() / total)


class AdaptiveClip(NoClip):
    """Adaptive gradient clipping (Brock et al. 2021): a unit's gradient norm stays below lambda times its weight norm.

    For unit i: where |g_i| > lambda * max(|w_i|, eps), g_i <- g_i * lambda * max(|w_i|, eps) / |g_i|.
    """

    def __init__(
        self, units: list[tuple[nn.Parameter, int | None]], params: list[nn.Parameter], threshold: float
    ) -> None:
        """Clip some parameters.

        Args:
            units: parameters and the axis that counts their units; None makes the whole tensor one unit.
            params: all parameters, for the global norm.
            threshold: lambda.
        """
        self.units, self.params, self.threshold = units, params, threshold

    def __call__(self, preclip_norm: Tensor) -> Clipped:
        """Scale unit by unit."""
        scaled: list[Tensor] = []
        total = 0
        for param, axis in self.units:
            if param.grad is None:
                continue
            limit = self.threshold * _unit_norm(param.detach(), axis).clamp_min(AGC_EPS)
            size = _unit_norm(param.grad, axis)
            over = size > limit
            param.grad.mul_(torch.where(over, limit / size, 1.0))
            scaled.append(over.sum())
            total += over.numel()
        return Clipped(norm(_gradients(self.params)), torch.stack(scaled).sum() / total)


class ZClip(NoClip):
    """Adaptive norm clipping by z-score (ZClip, Kumar et al. 2025), reciprocal form.

    The first steps only collect G. Then z = (G - mu) / (sigma + 1e-6); where z > z_thr the gradients are scaled to
    the norm mu + z_thr^2 * sigma / z. Running mean and variance follow the clipped norm.
    """

    DECAY = 0.97
    COLLECT = 25

    def __init__(self, params: list[nn.Parameter], threshold: float) -> None:
        self.params, self.threshold = params, threshold
        device = params[0].device
        self._seen = torch.zeros(self.COLLECT, device=device)
        self._mean = torch.zeros((), device=device)
        self._variance = torch.zeros((), device=device)
        self._steps = 0

    def __call__(self, preclip_norm: Tensor) -> Clipped:
        """Scale all gradients together where the norm is an outlier."""
        self._steps += 1
        if self._steps <= self.COLLECT:
            self._seen[self._steps - 1] = preclip_norm
            if self._steps == self.COLLECT:
                self._mean, self._variance = self._seen.mean(), self._seen.var(correction=0)
            return Clipped(preclip_norm, torch.zeros_like(preclip_norm))
        deviation = self._variance.sqrt()
        z = (preclip_norm - self._mean) / (deviation + 1e-6)
        outlier = z > self.threshold
        target = torch.where(outlier, self._mean + self.threshold**2 * deviation / z, preclip_norm)
        self._mean = self.DECAY * self._mean + (1 - self.DECAY) * target
        self._variance = self.DECAY * self._variance + (1 - self.DECAY) * (target - self._mean).square()
        return _scale_to(self.params, preclip_norm, target)

    def state_dict(self) -> dict[str, Tensor]:
        """Statistics so far."""
        steps = torch.tensor(self._steps)
        return {"seen": self._seen, "mean": self._mean, "variance": self._variance, "steps": steps}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue from them."""
        device = self._seen.device
        self._seen, self._mean, self._variance = (state[k].to(device) for k in ("seen", "mean", "variance"))
        self._steps = int(state["steps"])


def _unit_norm(tensor: Tensor, axis: int | None) -> Tensor:
    """L2 norm over all axes but one, or over all, in a shape that broadcasts against the tensor."""
    if axis is None:
        return torch.linalg.vector_norm(tensor)
    if axis == 0:
        return torch.linalg.vector_norm(tensor.flatten(1), dim=1).view(-1, *[1] * (tensor.ndim - 1))
    # Summing whole rows first runs through memory in order: four times faster than one norm over scattered axes.
    rows = tensor.square().flatten(0, axis - 1).sum(0)
    return rows.flatten(1).sum(1).sqrt().view(-1, *[1] * (tensor.ndim - axis - 1))


def _scale_to(params: list[nn.Parameter], preclip_norm: Tensor, target: Tensor) -> Clipped:
    over = preclip_norm > target
    factor = torch.where(over, target / preclip_norm, 1.0)
    torch._foreach_mul_(_gradients(params), factor)
    return Clipped(torch.where(over, target, preclip_norm), over.float())
