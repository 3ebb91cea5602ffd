"""Time and memory of a forward and backward pass: truncated Fourier matrices against rfft2 + einsum.

    python benchmarks/spectral.py --architecture hybrid --size 64 --threads 1

Both run the same weights, interleaved in one process; times are medians. `plain` is the usual layer, in the usual
memory layout. The memory of each is the peak growth over a built model, in a process of its own. On glibc the allocator
returns large blocks to the kernel after every use; to time the arithmetic instead, start with
MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_TOP_PAD_=268435456.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import gc
import multiprocessing
import re
import statistics
import time
from pathlib import Path

import torch
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="hybrid")
    parser.add_argument("--size", type=int, default=64, help="N, px")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
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


if __name__ == "__main__":
    main()
