"""Optimizers that measure their step: the norm of every weight before it, and of what it added to the weight.

The step is taken piece by piece. A piece's old values are copied while they are in a CPU's cache anyway, and held
against the new ones: the weights come from memory once for step and norms alike, and no copy of them all is kept.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from ptycho_mlf.telemetry.norms import norms

_CPU_PIECE, _GPU_PIECE = 1 << 19, 1 << 22
"""Numbers taken at once: what a CPU's cache holds; on a GPU few launches and little memory."""

_Kernel = Callable[[list[Tensor], list[Tensor], list[list[Tensor]], list[int]], None]
"""Steps weights in place, given gradients, state by kind, and which of the parameters they are of."""


@dataclass(frozen=True)
class StepSize:
    """Of one step, for each of the T parameters that had a gradient, in the order of the optimizer's groups."""

    weights_T: Tensor
    """Norms before the step."""
    updates_T: Tensor
    """Norms of the difference it made, as far as the weights' precision shows it."""

    @property
    def ratio(self) -> Tensor:
        """Norm of all updates over the norm of all weights; infinite where that is no number."""
        ratio = self.updates_T.norm() / self.weights_T.norm()
        return ratio.nan_to_num_(nan=torch.inf, posinf=torch.inf)


class Measured(Optimizer):
    """An optimizer whose `size` describes its last step, if that was to be measured."""

    size: StepSize | None = None
    measures: bool = True
    """Whether steps from now on are measured; others are torch's own, which do the same."""
    found_inf: Tensor | None = None
    """1 on the device: the step is none."""
    grad_scale: Tensor | None = None
    """The fused kernels' name for a loss scale; there is none."""
    _scratch: Tensor | None = None

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step."""
        if not self.measures:
            self.size = None
            super().step()
            return
        groups = [group for group in self.param_groups if any(p.grad is not None for p in group["params"])]
        sizes = [self._take(group) for group in groups]
        if not groups:  # As in torch, a step without gradients is none.
            self.size = StepSize(torch.empty(0), torch.empty(0))
            return
        self.size = StepSize(torch.cat([s.weights_T for s in sizes]), torch.cat([s.updates_T for s in sizes]))

    @abstractmethod
    def _take(self, group: dict[str, Any]) -> StepSize:
        """The step of one group."""

    def _in_pieces(self, weights: list[Tensor], fields: list[list[Tensor]], kernel: _Kernel) -> StepSize:
        """Step and measure chunk by chunk; `fields` are gradients and state, one list per kind."""
        limit = _CPU_PIECE if weights[0].device.type == "cpu" else _GPU_PIECE
        before: list[Tensor] = []
        added: list[Tensor] = []
        counts = [0] * len(weights)
        for places, w, (g, *state) in _chunks(weights, fields, limit):
            old = self._memory(w, limit)
            torch._foreach_copy_(old, w)
            before.append(norms(old))
            kernel(w, g, state, places)
            torch._foreach_sub_(old, w)
            added.append(norms(old))
            for place in places:
                counts[place] += 1
        return StepSize(_joined(before, counts), _joined(added, counts))

    def _memory(self, weights: list[Tensor], limit: int) -> list[Tensor]:
        """Room for copies, the same again and again: fresh memory would have to come from the kernel each time."""
        sizes = [w.numel() for w in weights]
        count, like = sum(sizes), weights[0]
        if self._scratch is None or len(self._scratch) < count:
            self._scratch = torch.empty(max(limit, count), dtype=like.dtype, device=like.device)
        return [part.view_as(w) for part, w in zip(self._scratch[:count].split(sizes), weights, strict=True)]


class MeasuredAdam(Measured, Adam):
    """Adam by fused kernels."""

    def _take(self, group: dict[str, Any]) -> StepSize:
        weights: list[Tensor] = []
        grads: list[Tensor] = []
        first: list[Tensor] = []
        second: list[Tensor] = []
        counts: list[Tensor] = []
        self._init_group(group, weights, grads, first, second, [], counts)
        fused = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
        beta1, beta2 = group["betas"]
        settings = {"lr": group["lr"], "weight_decay": group["weight_decay"], "eps": group["eps"]}
        settings |= {"beta1": beta1, "beta2": beta2, "amsgrad": False, "maximize": False, "found_inf": self.found_inf}

        def kernel(w: list[Tensor], g: list[Tensor], moments: list[list[Tensor]], places: list[int]) -> None:
            m, v = moments
            fused(w, g, m, v, [], [counts[k] for k in places], **settings)

        torch._foreach_add_(counts, 1)
        size = self._in_pieces(weights, [grads, first, second], kernel)
        if self.found_inf is not None:
            torch._foreach_sub_(counts, [self.found_inf] * len(counts))
        return size


class MeasuredAdamW(MeasuredAdam, AdamW):
    """The same with decoupled weight decay."""


class MeasuredSGD(Measured, SGD):
    """SGD by fused kernels."""

    def _take(self, group: dict[str, Any]) -> StepSize:
        weights: list[Tensor] = []
        grads: list[Tensor] = []
        self._init_group(group, weights, grads, [])
        fields = [grads]
        if group["momentum"]:
            # Starting from zero is what the first step is said to do: v = mu * 0 + g.
            fields.append([self.state[p].setdefault("momentum_buffer", torch.zeros_like(p)) for p in weights])

        def kernel(w: list[Tensor], g: list[Tensor], velocity: list[list[Tensor]], places: list[int]) -> None:
            torch._fused_sgd_(
                w,
                g,
                velocity[0] if velocity else [],
                weight_decay=group["weight_decay"],
                momentum=group["momentum"],
                lr=group["lr"],
                dampening=0.0,
                nesterov=group["nesterov"],
                maximize=False,
                is_first_step=False,
                found_inf=self.found_inf,
            )

        return self._in_pieces(weights, fields, kernel)


def _chunks(
    weights: list[Tensor], fields: list[list[Tensor]], limit: int
) -> Iterator[tuple[list[int], list[Tensor], list[list[Tensor]]]]:
    """Weights, and what belongs to them, cut along the first axis where they are large and gathered where small."""
    chunk: list[tuple[int, tuple[Tensor, ...]]] = []
    size = 0
    for place, row in enumerate(zip(weights, *fields, strict=True)):
        for piece in _cut(row, limit):
            numel = piece[0].numel()
            if chunk and size + numel > limit:
                yield _columns(chunk)
                chunk, size = [], 0
            chunk.append((place, piece))
            size += numel
    yield _columns(chunk)


def _cut(row: tuple[Tensor, ...], limit: int) -> list[tuple[Tensor, ...]]:
    weight = row[0]
    if weight.numel() <= limit:
        return [row]
    rows_at_once = max(1, limit * len(weight) // weight.numel())
    return list(zip(*(t.split(rows_at_once) for t in row), strict=True))


def _columns(chunk: list[tuple[int, tuple[Tensor, ...]]]) -> tuple[list[int], list[Tensor], list[list[Tensor]]]:
    weights, *fields = (list(column) for column in zip(*(piece for _, piece in chunk), strict=True))
    return [place for place, _ in chunk], weights, fields


def _joined(chunk_norms: list[Tensor], counts: list[int]) -> Tensor:
    """Norms of the pieces of all chunks to norms of the tensors they were cut from."""
    joined = torch.cat(chunk_norms)
    return joined if len(counts) == len(joined) else norms(list(joined.split(counts)))
