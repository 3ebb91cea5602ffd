"""What every layer of a network puts out, in numbers: forward hooks reduce each output while a batch passes.

No activation is kept: memory beyond the forward pass is a few copies of the largest single output. Nothing here knows
an architecture or a size. Shapes: B samples, C channels, further axes are space.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .contrast import head_saturation

DEAD = 1e-6
"""A channel whose std over batch and space is at most this times the RMS of the whole output is dead."""
NEAR_ZERO = 1e-2
"""Numbers of at most this times the RMS of the output count as zero for the sparsity."""
LOW_FREQUENCY = 1 / 8
"""Radius of the low frequencies, cycles/px (Nyquist is 1/2); zero frequency belongs to them."""
QUANTILES = (0.5, 0.95, 0.99)
_PART = 1 << 19
"""Numbers that are copied in double precision, or Fourier transformed, at once."""


@dataclass(frozen=True)
class LayerStatistics:
    """One output of one layer, over all samples. NaN where activations are not finite; None where it does not apply."""

    name: str
    """Path of the module; `#2` marks the second call of a module within one pass."""
    kind: str
    """Class of the module."""
    shape: tuple[int, ...]
    """Of the output for one sample."""
    mean: float
    """Of the output x; of |x| if x is complex."""
    std: float
    """Likewise."""
    p50: float
    """Quantiles of |x| over all samples, pixels and channels: exact for one batch, averaged over several."""
    p95: float
    p99: float
    rms: float
    dead_channels: float
    """Share of channels with std <= 1e-6 RMS; 1 where the RMS is 0."""
    sparsity: float
    """Share of |x| <= 1e-2 RMS of its batch; 1 where the RMS is 0."""
    low_frequency: float | None
    """Share of the energy at |f| <= 1/8 cycles/px; None for outputs that are no images, or zero."""
    spectral_local_ratio: float | None
    """RMS of the child `spectral` over RMS of the child `local`; None without such children, or where local is 0."""
    head_saturation: float | None
    """Share of a bounded head's outputs within 1 % of a bound; None for anything else."""
    nonfinite: float
    """Share of x that is not finite."""


def measure(model: nn.Module, batches: Iterable[Tensor]) -> list[LayerStatistics]:
    """Statistics of every layer for some batches, in the order in which layers finish.

    The network runs in evaluation mode without gradients and is left as it was.

    Args:
        model: a network that takes one batch.
        batches: inputs (B, ...), on the device of the network.

    Raises:
        ValueError: no batch.
    """
    modes = [(module, module.training) for module in model.modules()]
    collector = _Collector()
    try:
        model.eval()
        with torch.no_grad(), observed(model, collector.look):
            for batch in batches:
                model(batch)
    finally:
        for module, training in modes:
            module.training = training
    return collector.result()


def hooked_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The modules that are looked at: all but the root and lists.

    A sequence gives what its last layer gives, so it is left out too, unless it is the branch of a residual block.
    """
    return {
        name: module
        for name, module in model.named_modules()
        if name
        and not isinstance(module, nn.ModuleList | nn.ModuleDict)
        and (not isinstance(module, nn.Sequential) or name.rpartition(".")[2] == "branch")
    }


@contextmanager
def observed(model: nn.Module, look: Callable[[str, nn.Module, Tensor], None]) -> Generator[None]:
    """While the context is open, every pass through the network shows `look` each place, its module and its output.

    Places come in the order in which layers finish. A place is the path of a module; `#2` marks its second call within
    one pass. Outputs of less than two axes, and those that are no tensors, are passed over.
    """
    calls: dict[str, int] = {}

    def hook(name: str) -> Any:
        def report(module: nn.Module, _: Any, output: Any) -> None:
            if not isinstance(output, Tensor) or output.ndim < 2:
                return
            call = calls[name] = calls.get(name, 0) + 1
            look(name if call == 1 else f"{name}#{call}", module, output)

        return report

    handles = [module.register_forward_hook(hook(name)) for name, module in hooked_layers(model).items()]
    handles.append(model.register_forward_pre_hook(lambda *_: calls.clear()))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Collector:
    """One `_Layer` per module and call."""

    def __init__(self) -> None:
        self._layers: dict[str, _Layer] = {}

    def look(self, place: str, module: nn.Module, output: Tensor) -> None:
        """Add one output."""
        if place not in self._layers:
            mode = getattr(module, "output_mode", None)
            shape = tuple(output.shape[1:])
            self._layers[place] = _Layer(place, type(module).__name__, shape, mode if isinstance(mode, str) else None)
        self._layers[place].add(output.detach())

    def result(self) -> list[LayerStatistics]:
        if not self._layers:
            raise ValueError("activation statistics of no batch")
        return [layer.result(self._branch_ratio(name)) for name, layer in self._layers.items()]

    def _branch_ratio(self, name: str) -> float | None:
        path, mark, call = name.partition("#")
        spectral, local = (self._layers.get(f"{path}.{child}{mark}{call}") for child in ("spectral", "local"))
        if spectral is None or local is None or local.rms == 0:
            return None
        return spectral.rms / local.rms


@dataclass
class _Moments:
    """Count, mean and sum of squared deviations, merged batch by batch (Chan et al. 1983)."""

    count: int = 0
    mean: Any = 0.0
    deviation: Any = 0.0

    def add(self, count: int, mean: Any, deviation: Any) -> None:
        total = self.count + count
        difference = mean - self.mean
        self.deviation = self.deviation + deviation + abs(difference) ** 2 * (self.count * count / total)
        self.mean = self.mean + difference * (count / total)
        self.count = total


@dataclass
class _Layer:
    """Sums of one output over batches."""

    name: str
    kind: str
    shape: tuple[int, ...]
    output_mode: str | None
    samples: int = 0
    channels: _Moments = field(default_factory=_Moments)
    values: _Moments = field(default_factory=_Moments)
    squares: float = 0.0
    nonfinite: int = 0
    low_energy: float | None = None
    energy: float = 0.0
    averaged: Any = 0.0
    """p50, p95, p99, sparsity and saturation (0 without a bounded head), each times the samples."""
    bounded: bool = False

    def add(self, x_BC: Tensor) -> None:
        """Add a batch of outputs."""
        x = x_BC if x_BC.is_complex() else x_BC.to(torch.promote_types(x_BC.dtype, torch.float32))
        samples, magnitude, numbers = len(x), x.abs(), x.numel()
        mean_C, deviation_C = _by_channel(x)
        magnitude_C = _by_channel(magnitude) if x.is_complex() else (mean_C, deviation_C)
        mean = magnitude_C[0].mean()
        deviation = magnitude_C[1].sum() + (magnitude_C[0] - mean).square().sum() * (numbers // len(mean_C))
        squares = deviation + numbers * mean.square()  # Of a complex x too: these are the moments of |x|.
        saturation = head_saturation(x, self.output_mode) if self.output_mode else None
        scalars = [mean, deviation, squares, (magnitude <= NEAR_ZERO * (squares / numbers).sqrt()).count_nonzero()]
        scalars.append(torch.zeros_like(mean) if saturation is None else saturation)
        mean, deviation, squares, near_zero, saturated = torch.stack([s.double() for s in scalars]).tolist()
        nonfinite = 0 if math.isfinite(squares) else int((~magnitude.isfinite()).sum())
        self.channels.add(numbers // len(mean_C), mean_C.cpu(), deviation_C.cpu())
        self.values.add(numbers, mean, deviation)
        self.bounded = saturation is not None
        self.squares += squares
        self.nonfinite += nonfinite
        self._add_energy(x)
        quantiles = [math.nan] * len(QUANTILES) if nonfinite else _quantiles(magnitude)
        self.averaged = self.averaged + samples * np.array([*quantiles, near_zero / numbers, saturated])
        self.samples += samples

    @property
    def rms(self) -> float:
        return math.sqrt(self.squares / self.values.count)

    def result(self, spectral_local_ratio: float | None) -> LayerStatistics:
        p50, p95, p99, sparsity, saturation = (float(a) for a in self.averaged / self.samples)
        variance_C = self.channels.deviation / self.channels.count
        return LayerStatistics(
            name=self.name,
            kind=self.kind,
            shape=self.shape,
            mean=self.values.mean,
            std=math.sqrt(self.values.deviation / self.values.count),
            p50=p50,
            p95=p95,
            p99=p99,
            rms=self.rms,
            dead_channels=float((variance_C <= (DEAD * self.rms) ** 2).double().mean()),
            sparsity=sparsity,
            low_frequency=None if self.low_energy is None or self.energy == 0 else self.low_energy / self.energy,
            spectral_local_ratio=spectral_local_ratio,
            head_saturation=saturation if self.bounded else None,
            nonfinite=self.nonfinite / self.values.count,
        )

    def _add_energy(self, x: Tensor) -> None:
        if x.ndim != 4 or min(x.shape[-2:]) < 2:
            return
        H, W = x.shape[-2:]
        fy = torch.fft.fftfreq(H, device=x.device)
        fx = (torch.fft.fftfreq if x.is_complex() else torch.fft.rfftfreq)(W, device=x.device)
        # Of a real image only half the columns are computed: each stands for two, except zero and Nyquist.
        copies = torch.ones_like(fx) if x.is_complex() else 2.0 - ((fx == 0) | (fx == 0.5)).float()
        low = fy[:, None].square() + fx.square() <= LOW_FREQUENCY**2
        transform = torch.fft.fft2 if x.is_complex() else torch.fft.rfft2
        inside = total = torch.zeros((), dtype=torch.float64, device=x.device)
        for part in _parts(x):
            energy = torch.view_as_real(transform(part)).square().sum(-1).sum((0, 1)).double() * copies
            inside, total = inside + energy[low].sum(), total + energy.sum()
        self.low_energy = (self.low_energy or 0.0) + float(inside)
        self.energy += float(total)


def _by_channel(x_BC: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and sum of squared deviations per channel, (C,) each, in double precision.

    Part by part: a copy of a whole output in double precision would be the largest tensor of a training.
    """
    axes = (0, *range(2, x_BC.ndim))
    wide = torch.promote_types(x_BC.dtype, torch.float64)
    mean = x_BC.mean(axes, keepdim=True, dtype=wide)
    deviation_C = torch.zeros(x_BC.shape[1], dtype=torch.float64, device=x_BC.device)
    for part in _parts(x_BC):
        difference = part.to(wide) - mean
        squares = (difference * difference.conj()).real if x_BC.is_complex() else difference.square_()
        deviation_C += squares.sum(axes)
    return mean.flatten(), deviation_C


def _parts(x_B: Tensor) -> tuple[Tensor, ...]:
    """Pieces of a batch of at most `_PART` numbers, but whole samples."""
    return x_B.split(max(1, _PART // x_B[0].numel()))


def _quantiles(magnitude: Tensor) -> list[float]:
    """Exact, linear between neighbours; the input may be reordered."""
    if magnitude.device.type == "cpu":
        # A selection is several times faster than the sort behind torch.quantile, which also refuses large inputs.
        return np.quantile(magnitude.flatten().numpy(), QUANTILES, overwrite_input=True).tolist()
    ordered = magnitude.flatten().sort().values.double()
    position = torch.tensor(QUANTILES, dtype=torch.float64, device=ordered.device) * (len(ordered) - 1)
    below = position.floor().long()
    above = (below + 1).clamp_max(len(ordered) - 1)
    return torch.lerp(ordered[below], ordered[above], position - below).tolist()
