"""Per-layer statistics of gradients, weights and updates. A layer is a module that owns parameters.

Shapes: T parameters, L layers, S steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]
BINS = 256
"""Bins of an exponent histogram: bin k counts the numbers with 2^(k-127) <= |x| < 2^(k-126)."""
ZERO_BIN, NONFINITE_BIN = 0, 255
"""Zeros and subnormal numbers; infinities and NaN."""
_CHUNK = 1 << 18
"""Numbers handled at once: the temporaries stay in a CPU's cache."""


@dataclass(frozen=True)
class Layer:
    """One row of every table."""

    name: str
    """Path of the module."""
    kind: str
    """Its class."""
    parameters: tuple[int, ...]
    """Positions of its parameters among those of the model that have gradients."""
    numel: int
    """Real numbers in them."""


def model_layers(model: nn.Module, order: Sequence[str] = ()) -> list[Layer]:
    """The layers of a model whose parameters have gradients by now.

    Args:
        model: after a backward pass.
        order: names of modules as the forward pass calls them; others come last, as they are declared.
    """
    modules = dict(model.named_modules())
    owned: dict[str, list[tuple[int, int]]] = {}
    with_gradient = [(name, p) for name, p in model.named_parameters() if p.grad is not None]
    for position, (name, parameter) in enumerate(with_gradient):
        owned.setdefault(name.rpartition(".")[0], []).append((position, parameter.numel()))
    names = [*(name for name in dict.fromkeys(order) if name in owned), *(n for n in owned if n not in set(order))]
    return [
        Layer(
            name=name,
            kind=type(modules[name]).__name__,
            parameters=tuple(position for position, _ in owned[name]),
            numel=sum(numel for _, numel in owned[name]),
        )
        for name in names
    ]


def layer_norms(norms_ST: Array, layers: Sequence[Layer]) -> Array:
    """Norms of parameters to norms of layers, (S, L): the root of the sum of squares."""
    return np.stack([np.sqrt(np.square(norms_ST[:, layer.parameters]).sum(1)) for layer in layers], axis=1)


@torch.no_grad()
def exponent_histogram(tensors: Sequence[Tensor]) -> Tensor:
    """How many numbers of each binary order of magnitude there are, (BINS,) int64 on their device.

    The exponent is read from the bits: an exact logarithmic histogram without a logarithm.

    Raises:
        TypeError: numbers that are not float32.
    """
    total = torch.zeros(BINS, dtype=torch.int64, device=tensors[0].device)
    for tensor in tensors:
        if tensor.dtype != torch.float32:
            raise TypeError(f"exponent histogram of {tensor.dtype}: float32 is read")
        for part in tensor.detach().contiguous().view(-1).split(_CHUNK):
            total += torch.bincount((part.view(torch.int32) >> 23) & 0xFF, minlength=BINS)
    return total


def layer_histograms(tensors: Sequence[Tensor], layers: Sequence[Layer]) -> NDArray[np.int64]:
    """Exponent histograms of every layer, (L, BINS), read from the device at once."""
    rows = [exponent_histogram([tensors[k] for k in layer.parameters]) for layer in layers]
    return torch.stack(rows).cpu().numpy()


def quantile_of_histogram(counts: NDArray[np.int64], share: float) -> float | None:
    """log10 |x| below which a share of the nonzero finite numbers lies, interpolated within a bin; None without any."""
    inner = counts[1:NONFINITE_BIN].astype(float)
    if not inner.sum():
        return None
    reached = np.cumsum(inner)
    k = int(np.searchsorted(reached, share * reached[-1]))
    within = (share * reached[-1] - (reached[k] - inner[k])) / inner[k]
    return float((k + 1 - 127 + within) * np.log10(2))


@dataclass(frozen=True)
class LayerRows:
    """Consecutive recorded steps: S rows for L layers. What was not measured at a step is NaN."""

    step: NDArray[np.int64]
    loss: Array
    grad_norm: Array
    """(S, L) before clipping."""
    weight_norm: Array
    """(S, L) before the update."""
    update_norm: Array
    """(S, L)."""
    postclip_norm: Array
    """(S, L) gradient norm after clipping."""

    def __len__(self) -> int:
        return len(self.step)

    @property
    def update_ratio(self) -> Array:
        """Update norm over weight norm, (S, L); NaN where a layer's weights are all zero."""
        return _ratio(self.update_norm, self.weight_norm)

    @property
    def clip_scale(self) -> Array:
        """Gradient norm after clipping over before, (S, L); NaN where there was no gradient."""
        return _ratio(self.postclip_norm, self.grad_norm)

    def columns(self) -> Mapping[str, Array]:
        """The per-layer quantities of the reports."""
        return {
            "grad_norm": self.grad_norm,
            "clip_scale": self.clip_scale,
            "weight_norm": self.weight_norm,
            "update_ratio": self.update_ratio,
        }

    def take(self, keep: NDArray[np.bool_]) -> LayerRows:
        """Some of the rows."""
        return LayerRows(**{name: values[keep] for name, values in vars(self).items()})

    @classmethod
    def concatenate(cls, parts: Sequence[LayerRows]) -> LayerRows:
        """Rows one after the other, of at least one part."""
        return cls(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])})


def _ratio(above: Array, below: Array) -> Array:
    positive = below > 0
    return np.divide(above, np.where(positive, below, 1.0), where=positive, out=np.full_like(above, np.nan))
