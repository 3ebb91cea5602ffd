"""Time of a forward and backward pass: truncated Fourier matrices against rfft2 + einsum, and against neuraloperator.

    python benchmarks/spectral.py                       # layers of two networks, 32 channels at N=64 and at N=128
    python benchmarks/spectral.py --neuralop            # with the layer of neuraloperator 2.0 beside them
    python benchmarks/spectral.py --network --architecture hybrid --size 64      # whole networks, time and memory

All run the same weights and modes, interleaved in one process on one thread, in process CPU time. `plain` is the usual
layer in the usual memory layout; `matrices` is given channels-last memory, as in the networks. neuraloperator's
n_modes (24, 22) are 12 columns and 24 rows; of what is larger than the image it gets what the image has. Errors are
those of output, input gradient and weight gradient against rfft2 in float64.

On glibc the allocator returns large blocks to the kernel after every use; to time the arithmetic instead, start with
MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_TOP_PAD_=268435456.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import gc
import importlib
import importlib.util
import multiprocessing
import os
import re
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from machine import environment
from torch import Tensor, nn

from ptycho_mlf.config import ModelConfig
from ptycho_mlf.generators import Generator, build_generator
from ptycho_mlf.generators.lifter import Lifter
from ptycho_mlf.generators.spectral_conv import SpectralConv2d
from ptycho_mlf.generators.spectral_layout import to_complex_layout

BATCH = 16


class PlainSpectralConv2d(nn.Module):
    """rfft2, einsum over the kept modes, irfft2."""

    def __init__(self, layer: SpectralConv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(to_complex_layout(layer.weight.detach(), layer.grid))
        self.two_blocks, self.columns = len(layer.rows) < layer.H, layer.columns

    def forward(self, x: Tensor) -> Tensor:
        H, W = x.shape[-2:]
        X = torch.fft.rfft2(x)
        Y = X.new_zeros(x.shape[0], self.weight.shape[1], H, W // 2 + 1)
        m = self.weight.shape[2] // 2
        blocks = [(slice(0, m), slice(0, m)), (slice(-m, None), slice(-m, None))]
        for image_rows, weight_rows in blocks if self.two_blocks else [(slice(None), slice(None))]:
            part = X[:, :, image_rows, : self.columns]
            Y[:, :, image_rows, : self.columns] = torch.einsum("bcyx,coyx->boyx", part, self.weight[:, :, weight_rows])
        return torch.fft.irfft2(Y, s=(H, W))


class PlainLifter(Lifter):
    """Leaves the memory layout alone."""

    def forward(self, x_BCNN: Tensor) -> Tensor:
        return self.mix(self.activation(self.lift(self.transform(x_BCNN))))


def plain(generator: Generator) -> Generator:
    """The same network with plain layers and a copy of the weights."""
    twin = copy.deepcopy(generator)
    twin.lifter.__class__ = PlainLifter
    for parent in list(twin.modules()):
        for name, child in parent.named_children():
            if isinstance(child, SpectralConv2d):
                setattr(parent, name, PlainSpectralConv2d(child))
    return twin


def make(kind: str, architecture: str, size: int) -> Generator:
    generator = build_generator(ModelConfig.model_validate({"architecture": architecture}), size, 1, seed=0)
    return plain(generator) if kind == "plain" else generator


def step(module: nn.Module, x: Tensor) -> tuple[float, float]:
    """Process CPU time and wall time of one forward and backward pass, s."""
    module.zero_grad(set_to_none=True)
    cpu, wall = time.process_time(), time.perf_counter()
    torch.view_as_real(module(x)).square().mean().backward()
    return time.process_time() - cpu, time.perf_counter() - wall


def memory(kind: str, architecture: str, size: int) -> float:
    """Peak growth of the resident memory over two steps, MiB (Linux with glibc)."""
    torch.set_num_threads(1)
    generator, x = make(kind, architecture, size), torch.rand(BATCH, 1, size, size)
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = _status("VmRSS")
    step(generator, x)
    step(generator, x)
    return _status("VmHWM") - before


def _status(field: str) -> float:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def relative(a: Tensor, b: Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


def neuralop_layer(layer: SpectralConv2d) -> nn.Module:
    """The SpectralConv of neuraloperator with the same modes and weights."""
    found: Any = importlib.import_module("neuralop.layers.spectral_convolution")
    channels = layer.weight.shape[1]
    kept = 2 * layer.columns - 2 if layer.columns < layer.W // 2 + 1 else layer.W
    theirs = found.SpectralConv(channels, channels, (len(layer.rows), kept), bias=False)
    # Rows in ascending order of the signed frequency, the unitary transform's sign of which is ours.
    weight = to_complex_layout(layer.weight.detach(), layer.grid)
    order = torch.fft.fftshift(torch.arange(len(layer.rows)))
    theirs.weight.tensor.data.copy_(weight[:, :, order])
    return theirs


def layers_of(channels: int, side: int, with_neuralop: bool) -> dict[str, nn.Module]:
    ours = SpectralConv2d(channels, channels, 12, side)
    peers = {"neuralop": neuralop_layer(ours)} if with_neuralop else {}
    return {"plain": PlainSpectralConv2d(ours), **peers, "matrices": ours}


def gradients(layer: nn.Module, x: Tensor, y_bar: Tensor) -> tuple[Tensor, ...]:
    """Output, gradient of the input, and gradient of the weights in the complex layout, in float64."""
    x = x.detach().requires_grad_()
    y = layer(x)
    x_bar, weight_bar = torch.autograd.grad(y, [x, *layer.parameters()], y_bar)
    if isinstance(layer, SpectralConv2d):
        weight_bar = to_complex_layout(weight_bar, layer.grid)
    return y.detach().double(), x_bar.double(), weight_bar.to(torch.complex128)


def compare_layers(base: int, args: argparse.Namespace) -> None:
    """A Markdown table of the four levels of a network of `base` px: median ms [quartiles] and ratios to ours."""
    kinds = ["plain", *(["neuralop"] if args.neuralop else []), "matrices"]
    print(
        f"\n| N={base}, ms | " + " | ".join(kinds) + " | " + " | ".join(f"{k} / matrices" for k in kinds[:-1]), end=""
    )
    print(" | error of matrices: y, dx, dw |\n|" + "---|" * (2 * len(kinds) + 1))
    ratios: dict[str, list[float]] = {kind: [] for kind in kinds[:-1]}
    for level in range(4):
        channels, side = 32 << level, base >> level
        layers = layers_of(channels, side, args.neuralop)
        x, y_bar = torch.randn(2, BATCH, channels, side, side)
        inputs = {
            k: [v.to(memory_format=torch.channels_last) if k == "matrices" else v for v in (x, y_bar)] for k in kinds
        }
        ours = layers["matrices"]
        assert isinstance(ours, SpectralConv2d)
        exact = gradients(PlainSpectralConv2d(copy.deepcopy(ours).double()), x.double(), y_bar.double())
        errors = {
            k: [relative(a, b) for a, b in zip(gradients(layers[k], *inputs[k]), exact, strict=True)] for k in kinds
        }
        times: dict[str, list[float]] = {kind: [] for kind in kinds}
        for turn in range(args.repeats + 3):
            for kind in kinds:
                x_in, y_bar_in = inputs[kind]
                x_in = x_in.detach().requires_grad_()
                layers[kind].zero_grad(set_to_none=True)
                started = time.process_time()
                layers[kind](x_in).backward(y_bar_in)
                if turn >= 3:
                    times[kind].append(1e3 * (time.process_time() - started))
        cells = []
        for kind in kinds:
            low, middle, high = statistics.quantiles(times[kind], n=4)
            cells.append(f"{middle:.1f} [{low:.1f}, {high:.1f}]")
        for kind in kinds[:-1]:
            ratios[kind].append(statistics.median(times[kind]) / statistics.median(times["matrices"]))
            cells.append(f"{ratios[kind][-1]:.2f}")
        if args.neuralop and max(errors["neuralop"][:2]) > 1e-5:
            raise SystemExit(f"neuraloperator computes something else: relative errors {errors['neuralop']}")
        cells.append(", ".join(f"{error:.0e}" for error in errors["matrices"]))
        print(f"| {channels} channels, {side} px | " + " | ".join(cells) + " |", flush=True)
    means = [f"**{statistics.geometric_mean(ratios[kind]):.2f}**" for kind in kinds[:-1]]
    print("| geometric mean | " + " | ".join([*[""] * len(kinds), *means, ""]) + " |")


def surroundings() -> str:
    allocator = " ".join(f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith("MALLOC_")) or "as it comes"
    return (
        f"{environment()}, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} thread(s), "
        f"batch {BATCH}, allocator {allocator}"
    )


def compare_networks(args: argparse.Namespace) -> None:
    """Whole networks: time, wall time, and peak memory in a process of its own each."""
    x = torch.rand(BATCH, 1, args.size, args.size)
    networks = {kind: make(kind, args.architecture, args.size) for kind in ("plain", "matrices")}
    with torch.no_grad():
        ours, theirs = networks["matrices"](x), networks["plain"](x)
    error = ((ours - theirs).norm() / theirs.norm()).item()
    times = {kind: [] for kind in networks}
    for turn in range(args.repeats + 1):
        for kind, network in networks.items():
            seconds = step(network, x)
            if turn > 0:
                times[kind].append(seconds)
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        peaks = {kind: pool.apply(memory, (kind, args.architecture, args.size)) for kind in networks}
    print(f"{args.architecture} N={args.size} batch {BATCH}, {args.threads} thread(s); relative difference {error:.1e}")
    medians = {kind: [statistics.median(t) for t in zip(*rows, strict=True)] for kind, rows in times.items()}
    for kind, (cpu, wall) in medians.items():
        ratio = medians["plain"][0] / cpu
        print(f"{kind:9} cpu {cpu:.3f} s  wall {wall:.3f} s  cpu ratio {ratio:.2f}  peak +{peaks[kind]:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neuralop", action="store_true", help="compare with neuraloperator's layer as well")
    parser.add_argument("--network", action="store_true", help="whole networks instead of layers")
    parser.add_argument("--architecture", default="hybrid", help="with --network")
    parser.add_argument("--size", type=int, default=64, help="with --network: N, px")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=11)
    args = parser.parse_args()
    if args.neuralop and importlib.util.find_spec("neuralop") is None:
        parser.error("--neuralop needs neuraloperator: pip install 'neuraloperator==2.0.*'")
    torch.set_num_threads(args.threads)
    torch.empty(2**28).fill_(0)  # 1 GiB that a tuned allocator keeps: no page is new to what is timed
    print(surroundings())
    if args.network:
        compare_networks(args)
        return
    for base in (64, 128):
        compare_layers(base, args)


if __name__ == "__main__":
    main()
