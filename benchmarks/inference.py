"""Reconstructing a scan: time per pattern against the plain loop, and memory over the number of patterns.

    python benchmarks/inference.py [--patterns 400 --repeats 5 --threads 1 --skip-memory]

A plain loop predicts whole patches of 16 patterns at a time, keeps all of them, and stitches at the end; with the usual
spectral layers (rfft2, einsum, irfft2) and with those of the network. All ways run interleaved in one process, on the
same weights; times are process CPU time, stitching included, medians with quartiles. Memory is measured in fresh
processes with a tiny network, since the size of the network does not depend on the scan; the patterns lie in a file
that is mapped. Its pages that the kernel keeps are told apart: it drops them at need.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from machine import ALLOCATOR, environment, spread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from ptycho_mlf.scan import Scan

N, STRIDE = 64, 10


def scan_of(amplitude: NDArray[np.float32], rows: int, columns: int) -> Scan:
    import numpy as np

    from ptycho_mlf.scan import Scan, ScanGrid

    corners = (STRIDE * np.argwhere(np.ones((rows, columns)))).astype(np.int32)
    return Scan(
        amplitude_nCNN=amplitude,
        corners_nC2=corners[:, None],
        grid=ScanGrid(1, rows, columns, STRIDE),
        probe_PNN=np.ones((1, N, N), np.complex64),
        probe_norm=1.0,
        intensity_scale=1.0,
    )


def plain_loop(network: nn.Module, scan: Scan, batch_size: int) -> NDArray[np.complex128]:
    import numpy as np
    import torch

    from ptycho_mlf.evaluation.stitching import stitch

    with torch.no_grad():
        batches = torch.from_numpy(scan.amplitude_nCNN).split(batch_size)
        patches = [network(batch).numpy() for batch in batches]
    return stitch(np.concatenate(patches), scan)


def times(side: int, repeats: int, threads: int) -> None:
    """Print the table."""
    import numpy as np
    import torch
    from spectral import plain
    from torch.utils.flop_counter import FlopCounterMode

    from ptycho_mlf.config import ModelConfig
    from ptycho_mlf.evaluation.stitching import Stitcher
    from ptycho_mlf.generators import build_generator
    from ptycho_mlf.generators.central import predict_central
    from ptycho_mlf.runs.predict import reconstruct

    torch.set_num_threads(threads)
    random = np.random.default_rng(0)
    scan = scan_of(random.random((side * side, 1, N, N), np.float32), side, side)
    network = build_generator(ModelConfig(), N, 1, seed=0).eval()
    with torch.no_grad():
        # Weights of no particular value: layer scales of 1e-3 would hide errors of the encoder.
        for parameter in network.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    fft = plain(network)
    ways: dict[str, Callable[[], NDArray[np.complex128]]] = {
        "loop, batch 16, spectral layers with rfft2 and einsum": lambda: plain_loop(fft, scan, 16),
        "loop, batch 16": lambda: plain_loop(network, scan, 16),
        "loop, batch 64": lambda: plain_loop(network, scan, 64),
        "`reconstruct`, batch 16": lambda: reconstruct(network, scan, "cpu", batch_size=16),
        "**`reconstruct`, batch 64 (default)**": lambda: reconstruct(network, scan, "cpu"),
        "`reconstruct`, batch 128": lambda: reconstruct(network, scan, "cpu", batch_size=128),
        "`reconstruct`, batch 64, `precision=bf16`": lambda: reconstruct(network, scan, "cpu", precision="bf16"),
    }
    first, second, *_ = ways
    images = {name: way() for name, way in ways.items()}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.process_time()
            way()
            spent[name].append((time.process_time() - start) / side**2 * 1e3)
    print(f"{side**2} patterns, {repeats} rounds, {torch.get_num_threads()} thread(s)\n")
    print(
        "| way | ms a pattern [quartiles] | loop with rfft2 / this | loop with our layers / this | largest difference |"
    )
    print("|---|---|---|---|---|")
    for name, values in spent.items():
        gains = [
            spread([before / after for before, after in zip(spent[loop], values, strict=True)], 2)
            for loop in (first, second)
        ]
        error = np.abs(images[name] - images[second]).max() / np.abs(images[second]).max()
        print(f"| {name} | {spread(values, 2)} | {gains[0]} | {gains[1]} | {error:.1e} |")
    batch = torch.from_numpy(scan.amplitude_nCNN[:1])
    counts: list[float] = []
    for predict in (network, lambda x: predict_central(network, x, Stitcher(scan).kept)):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            predict(batch)
        counts.append(counter.get_total_flops() / 1e9)
    print(f"\nArithmetic of a pattern: {counts[0]:.2f} GFLOP whole, {counts[1]:.2f} as far as it is kept.")


def memory(patterns: int) -> dict[str, float]:
    """Growth of memory in MiB over a reconstruction of so many patterns."""
    import numpy as np
    import torch

    from ptycho_mlf.config import ModelConfig
    from ptycho_mlf.generators import build_generator
    from ptycho_mlf.runs.predict import reconstruct

    torch.set_num_threads(1)
    rows = next(rows for rows in range(int(patterns**0.5), 0, -1) if patterns % rows == 0)
    network = build_generator(ModelConfig(architecture="hybrid", fno_blocks=2, width=4, modes=4), N, 1, seed=0)
    small = scan_of(np.zeros((64, 1, N, N), np.float32), 8, 8)
    reconstruct(network, small, "cpu")  # What torch keeps for itself.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "patterns.npy"
        shape = (patterns, 1, N, N)
        # A file of holes: it takes no room on the disk, and reading it makes pages like any other.
        np.lib.format.open_memmap(path, "w+", np.float32, shape)
        scan = scan_of(np.load(path, mmap_mode="c").view(np.ndarray), rows, patterns // rows)
        before, start = _status("RssAnon"), time.perf_counter()
        peak = before

        def look(done: int, total: int) -> None:
            nonlocal peak
            peak = max(peak, _status("RssAnon"))

        image = reconstruct(network, scan, "cpu", progress=look)
        seconds = time.perf_counter() - start
        mapped = _status("RssFile")
    return {"own": peak - before, "image": image.nbytes / 2**20, "mapped": mapped, "seconds": seconds}


def _status(field: str) -> float:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise SystemExit(f"/proc/self/status has no {field}: memory can be measured on Linux only")
    return int(found[1]) / 1024


def memories(sizes: tuple[int, ...]) -> None:
    """Print the table."""
    print("\n| patterns | file of patterns, MiB | own memory, MiB | of it the image | mapped pages |")
    print("|---|---|---|---|---|", flush=True)
    for patterns in sizes:
        done = subprocess.run([sys.executable, __file__, "--child", str(patterns)], stdout=subprocess.PIPE, check=True)
        found = json.loads(done.stdout)
        size = patterns * N * N * 4 / 2**20
        print(
            f"| {patterns} | {size:.0f} | {found['own']:.0f} | {found['image']:.0f} | {found['mapped']:.0f} |",
            flush=True,
        )


@click.command()
@click.option("--patterns", default=400, show_default=True, help="Patterns of the timed scan; a square number.")
@click.option("--repeats", default=5, show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option(
    "--sizes", default="5000,100000", show_default=True, help="Patterns of the scans whose memory is measured."
)
@click.option("--skip-memory", is_flag=True)
@click.option("--child", default=0, hidden=True)
def main(patterns: int, repeats: int, threads: int, sizes: str, skip_memory: bool, child: int) -> None:
    if child:
        print(json.dumps(memory(child)))
        return
    if sys.platform == "linux" and not ALLOCATOR.keys() <= os.environ.keys():
        variables = {**os.environ, **ALLOCATOR, "OMP_NUM_THREADS": str(threads)}
        os.execve(sys.executable, [sys.executable, *sys.argv], variables)
    print(environment())
    times(int(patterns**0.5), repeats, threads)
    if not skip_memory:
        memories(tuple(int(size) for size in sizes.split(",")))


if __name__ == "__main__":
    main()
