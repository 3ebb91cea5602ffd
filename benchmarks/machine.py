"""What the benchmarks share: what the machine can do, what it is, and how numbers are told."""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "268435456",
}
"""Keeps glibc from returning memory after every step; read when a process starts."""


class Machine:
    """Kernels that show what the processor can do."""

    def __init__(self, dtype: Any, clock: Callable[[], float]) -> None:
        import torch
        from torch.nn.functional import conv2d

        self._clock = clock
        self.gflops: dict[str, list[float]] = defaultdict(list)
        self.bandwidths: dict[str, list[float]] = defaultdict(list)
        self._kernels: list[tuple[str, float, Callable[[], Any]]] = []
        a = torch.randn(1536, 1536, dtype=dtype)
        self._kernels.append(("matrix product 1536", 2 * 1536**3, lambda: a @ a))
        for channels, side in ((256, 32), (128, 16), (64, 32)):
            x = torch.randn(16, channels, side, side, dtype=dtype).to(memory_format=torch.channels_last)
            w = torch.randn(channels, channels, 3, 3, dtype=dtype).to(memory_format=torch.channels_last)
            flops = 2 * 16 * side**2 * channels**2 * 9
            kernel = partial(conv2d, x, w, padding=1)
            self._kernels.append((f"convolution {channels} channels, {side} px", flops, kernel))
        large = torch.randn(1 << 25)
        copy = torch.empty_like(large)
        self._bytes = 2.0 * 4 * large.numel()
        self._moves: dict[str, Callable[[], Any]] = {
            "copy of 128 MiB": lambda: copy.copy_(large),
            "change of 128 MiB in place": lambda: copy.neg_(),
        }

    def look(self) -> None:
        for name, flops, kernel in self._kernels:
            self.gflops[name].append(flops / self._seconds(kernel) / 1e9)
        for name, kernel in self._moves.items():
            self.bandwidths[name].append(self._bytes / self._seconds(kernel) / 1e9)

    def _seconds(self, kernel: Callable[[], Any]) -> float:
        start = self._clock()
        kernel()
        return self._clock() - start


def spread(values: list[float], digits: int) -> str:
    """Median and quartiles, as text."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def environment() -> str:
    """Processor, versions and load."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    processor = found[1] if found else "unknown processor"
    return f"{processor}, Python {platform.python_version()}, torch {version('torch')}, load {os.getloadavg()[0]:.1f}"
