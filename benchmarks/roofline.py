"""How close a training step comes to what the machine can do, layer by layer.

    python benchmarks/roofline.py [--threads 1] [--precision float32] [--repeats 12] [--N 64] [--batch-size 16]

Machine, step and layers are measured in turns in one process, with the allocator settings of docs/performance.md;
medians with quartiles. The clock is process CPU time on one thread, so that a busy machine counts little, and wall time
on several.

Machine: `peak` is the best median of three convolutions and a square matrix product; `bandwidth` the better of copying
a large tensor and of changing it in place, what is read and what is written both counted. Step: the hybrid of the
defaults with its real loss; forward pass, loss, backward pass, optimizer. Layers: forward passes between module hooks,
backward passes between hooks on the autograd nodes that a module has made. Hooks cost time too, so that the table's sum
exceeds the step's time.

The floor of a layer is max(FLOPs / peak, bytes / bandwidth), forward and backward apart, where bytes are every input,
weight and output once: what a perfect fused kernel moves. FLOPs of the backward pass are twice those of the forward
pass; a spectral layer's are those of its truncated Fourier matrices and complex channel mixing. The optimizer reads
weight, gradient and two moments and writes all but the gradient: 28 bytes a weight. What is not listed has floor 0:
loss, copies, bookkeeping of autograd.

The roofline of a step is FLOPs of convolutions / peak + bytes of the optimizer / bandwidth: spectral layers and
activations count as nothing there. Its share is the roofline over the measured step; against the sum of all floors the
share is larger.
"""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click
from machine import ALLOCATOR, Machine, environment, spread

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ptycho_mlf.training.module import PtychoModule

GROUPS = {
    r"lifter\.(lift|mix)": "lifter",
    r".*\.local": "local 3x3",
    r".*\.spectral": "spectral layers",
    r".*\.decoder\.\d+\.(merge|refine)": "decoder convolutions",
    r"body\.down\.\d+|.*\.up": "up and down",
    r"head\.projection": "head",
    r".*activation|.*\.branch|body\.(encoder\.\d+|bottleneck)": "activations and sums",
}
"""Paths of modules and the layer they count as; sums of a block are its own, those of its children theirs."""
ORDER = (*dict.fromkeys(GROUPS.values()), "optimizer", "loss", "rest")
PHASES = ("forward", "loss", "backward", "optimizer")
Shape = tuple[int, ...]


class Layers:
    """Times inside the modules of a network, forward and backward."""

    def __init__(self, model: nn.Module, clock: Callable[[], float]) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        """By module path and pass."""
        self.shapes: dict[str, tuple[Shape, Shape]] = {}
        """In and out, of every module."""
        self._model, self._clock = model, clock
        self._stack: list[list[float]] = []
        self._owned: set[Any] = set()

    @contextmanager
    def watched(self) -> Iterator[None]:
        handles: list[Any] = []
        for name, module in self._model.named_modules():
            handles.append(module.register_forward_pre_hook(self._enter))
            handles.append(module.register_forward_hook(self._leave(name)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._owned.clear()

    def _enter(self, *_: Any) -> None:
        self._stack.append([self._clock(), 0.0])

    def _leave(self, name: str) -> Callable[..., None]:
        def leave(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            start, children = self._stack.pop()
            spent = self._clock() - start
            self.seconds[f"{name} forward"] += spent - children
            self.shapes[name] = (tuple(inputs[0].shape), tuple(output.shape))
            self._own(name, output.grad_fn, {x.grad_fn for x in inputs})
            if self._stack:  # What the hook itself costs belongs to nobody.
                self._stack[-1][1] += self._clock() - start

        return leave

    def _own(self, name: str, node: Any, inputs: set[Any]) -> None:
        """Time the nodes between a module's output and its inputs, but for those of its children."""
        open_nodes = [node]
        while open_nodes:
            node = open_nodes.pop()
            if node is None or node in self._owned or node in inputs:
                continue
            self._owned.add(node)
            self._time(name, node)
            open_nodes.extend(following for following, _ in node.next_functions)

    def _time(self, name: str, node: Any) -> None:
        start = 0.0

        def before(*_: Any) -> None:
            nonlocal start
            start = self._clock()

        def after(*_: Any) -> None:
            self.seconds[f"{name} backward"] += self._clock() - start

        node.register_prehook(before)
        node.register_hook(after)


def group_of(path: str) -> str:
    return next((group for pattern, group in GROUPS.items() if re.fullmatch(pattern, path)), "rest")


def floors(module: nn.Module, into: Shape, out: Shape, *, first: bool) -> Iterator[tuple[float, float]]:
    """FLOPs and bytes of the forward and of the backward pass of one module, its children apart; 4-byte numbers.

    Args:
        module: of the network.
        into: shape of its input.
        out: shape of its output.
        first: nothing needs the gradient of its input.
    """
    from torch import nn

    from ptycho_mlf.generators.blocks import OperatorBranch, ResidualBlock
    from ptycho_mlf.generators.spectral_conv import SpectralConv2d

    x, y = prod(into), prod(out)
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        # Every weight meets every pixel of the smaller image once.
        w = module.weight.numel()
        flops = 2.0 * w * into[0] * min(prod(into[2:]), prod(out[2:]))
        yield flops, 4 * (x + w + y)
        yield (flops, 4 * (y + x + 2 * w)) if first else (2 * flops, 4 * (y + 2 * x + 2 * w))
    elif isinstance(module, SpectralConv2d):
        (B, C, H, W), D = into, out[1]
        R, K, w = len(module.rows), module.columns, module.weight.numel()
        flops = 2.0 * B * (H * 2 * K * W + 2 * R * 2 * H * K) * (C + D) + 8.0 * B * R * K * C * D
        yield flops, 4 * (x + w + y)
        yield 2 * flops, 4 * (y + 2 * x + 2 * w)
    elif isinstance(module, nn.GELU | OperatorBranch):
        # GELU(spectral + local) reads two images; in its gradient both have the same.
        yield 0.0, 4 * (y + (1 if isinstance(module, nn.GELU) else 2) * y)
        yield 0.0, 4 * 3 * y
    elif isinstance(module, ResidualBlock):
        yield 0.0, 4 * 3 * y


class Step:
    """One training step of the defaults, in phases."""

    def __init__(self, side: int, batch_size: int, precision: str, clock: Callable[[], float]) -> None:
        import torch

        from ptycho_mlf.config import RunConfig
        from ptycho_mlf.runs.dataset import load_run_data
        from ptycho_mlf.training.fit import build_module
        from ptycho_mlf.training.optimizer import build_optimizer

        settings = {"architecture": "hybrid", "N": side, "batch_size": batch_size, "precision": precision}
        config = RunConfig.from_flat(settings)
        data = load_run_data(config)
        self.module: PtychoModule = build_module(config, data.train)
        self.optimizer = build_optimizer(config.training, self.module.model.parameters())
        self.amplitude = torch.from_numpy(data.train.amplitude_nCNN[:batch_size])
        self.layers = Layers(self.module.model, clock)
        self._clock, self._bf16, self._frozen = clock, precision == "bf16", torch.zeros(())

    def __call__(self) -> dict[str, float]:
        """Seconds of every phase."""
        import torch

        from ptycho_mlf.training.optimizer import masked_step

        module, clock = self.module, self._clock
        times = [clock()]
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
            object_BCNN = module.predict_object(self.amplitude)
            times.append(clock())
            loss = module.objective(object_BCNN, module.predict_amplitude(object_BCNN), self.amplitude, None)
        times.append(clock())
        loss.backward()
        times.append(clock())
        masked_step(self.optimizer, self._frozen, measure=False)
        self.optimizer.zero_grad(set_to_none=True)
        times.append(clock())
        return {phase: b - a for phase, a, b in zip(PHASES, times, times[1:], strict=False)}


def memory(side: int, batch_size: int, precision: str) -> float:
    """Peak growth of the resident memory over two steps of a model whose optimizer has its state, MiB."""
    import ctypes

    step = Step(side, batch_size, precision, time.process_time)
    for parameter in step.module.model.parameters():
        parameter.grad = parameter.detach().clone().zero_()
    step.optimizer.step()
    step.optimizer.zero_grad(set_to_none=True)
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # Forgets the peak so far.
    before = _status("VmRSS")
    step()
    step()
    return _status("VmHWM") - before


def _status(field: str) -> float:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def measure(threads: int, repeats: int, side: int, batch_size: int, precision: str) -> None:
    import torch

    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    machine = Machine(torch.bfloat16 if precision == "bf16" else torch.float32, clock)
    step = Step(side, batch_size, precision, clock)
    phases: dict[str, list[float]] = defaultdict(list)
    layers: dict[str, list[float]] = defaultdict(list)
    for turn in range(repeats + 2):
        machine.look()
        times = step()
        step.layers.seconds.clear()
        with step.layers.watched():
            seen = step()
        if turn < 2:
            machine.gflops.clear()
            machine.bandwidths.clear()
            continue
        for phase, seconds in times.items():
            phases[phase].append(seconds)
        phases["step"].append(sum(times.values()))
        for group, seconds in by_group(step.layers, seen).items():
            layers[group].append(seconds)
    report(machine, step, phases, layers)


def by_group(layers: Layers, seen: dict[str, float]) -> dict[str, float]:
    """Seconds by group and pass; what no hook saw is the rest."""
    found: dict[str, float] = defaultdict(float)
    for name, seconds in layers.seconds.items():
        path, _, way = name.rpartition(" ")
        found[f"{group_of(path)} {way}"] += seconds
    for way in ("forward", "backward"):
        inside = sum(seconds for name, seconds in found.items() if name.endswith(way))
        found[f"rest {way}"] += seen[way] - inside
    found["optimizer "], found["loss "] = seen["optimizer"], seen["loss"]
    return found


def report(machine: Machine, step: Step, phases: dict[str, list[float]], layers: dict[str, list[float]]) -> None:
    """Everything as Markdown."""
    peak, bandwidth = (
        1e9 * max(median(rates) for rates in kinds.values()) for kinds in (machine.gflops, machine.bandwidths)
    )
    click.echo("\n| machine | median [quartiles] |\n|---|---|")
    for name, rates in machine.gflops.items():
        click.echo(f"| {name}, GFLOP/s | {spread(rates, 0)} |")
    for name, rates in machine.bandwidths.items():
        click.echo(f"| {name}, GB/s | {spread(rates, 1)} |")
    click.echo("\n| step, ms | median [quartiles] |\n|---|---|")
    for phase in (*PHASES, "step"):
        click.echo(f"| {phase} | {spread([1e3 * s for s in phases[phase]], 1)} |")
    layer_table(step, layers, phases["step"], peak, bandwidth)


def layer_table(step: Step, layers: dict[str, list[float]], steps: list[float], peak: float, bandwidth: float) -> None:
    """Floors and times by layer, and how much of the roofline the steps reach."""
    model = step.module.model
    floor: dict[str, float] = defaultdict(float)
    flops: dict[str, float] = defaultdict(float)
    modules = dict(model.named_modules())
    for path, shapes in step.layers.shapes.items():
        for work, moved in floors(modules[path], *shapes, first=path == "lifter.lift"):
            floor[group_of(path)] += max(work / peak, moved / bandwidth)
            flops[group_of(path)] += work
    traffic = 28.0 * sum(p.numel() for p in model.parameters())
    floor["optimizer"] = traffic / bandwidth
    click.echo("\n| layers | GFLOP | floor, ms | forward, ms | backward, ms | both, ms | floor / measured |")
    click.echo("|---|---|---|---|---|---|---|")
    whole = [0.0] * len(steps)
    for group in ORDER:
        ways = [layers.get(f"{group} {way}", []) for way in ("forward", "backward", "")]
        both = [sum(seconds) for seconds in zip(*(w for w in ways if w), strict=True)]
        whole = [a + b for a, b in zip(whole, both, strict=True)]
        ahead, back = (f"{1e3 * median(w):.1f}" if w else "" for w in ways[:2])
        _row(group, flops[group], floor[group], ahead, back, both)
    _row("all", sum(flops.values()), sum(floor.values()), "", "", whole)
    convolutions = sum(flops.values()) - flops["spectral layers"]
    roofline = convolutions / peak + traffic / bandwidth
    click.echo(
        f"\nRoofline: {convolutions / 1e9:.1f} GFLOP of convolutions at {peak / 1e9:.0f} GFLOP/s + {traffic / 1e6:.0f} "
        f"MB of the optimizer at {bandwidth / 1e9:.1f} GB/s = {1e3 * roofline:.0f} ms."
    )
    shares = [spread([100 * least / seconds for seconds in steps], 1) for least in (roofline, sum(floor.values()))]
    click.echo(f"The step reaches **{shares[0]} % of the roofline**, {shares[1]} % of the sum of all floors.")


def _row(name: str, flops: float, floor: float, ahead: str, back: str, both: list[float]) -> None:
    work = f"{flops / 1e9:.2f}" if flops else "-"
    share = f"{100 * floor / median(both):.0f} %" if floor else "-"
    times = f"{ahead} | {back} | {spread([1e3 * seconds for seconds in both], 1)}"
    click.echo(f"| {name} | {work} | {1e3 * floor:.1f} | {times} | {share} |")


@click.command()
@click.option("--threads", type=int, default=1, show_default=True, help="CPU threads.")
@click.option("--precision", type=click.Choice(["float32", "bf16"]), default="float32", show_default=True)
@click.option("--repeats", type=int, default=12, show_default=True)
@click.option("--N", "side", type=int, default=64, show_default=True)
@click.option("--batch-size", type=int, default=16, show_default=True)
@click.option("--child", type=click.Choice(["time", "memory"]), hidden=True)
def main(threads: int, precision: str, repeats: int, side: int, batch_size: int, child: str | None) -> None:
    if child == "time":
        measure(threads, repeats, side, batch_size, precision)
    elif child == "memory":
        grown = memory(side, batch_size, precision)
        click.echo(f"Peak growth of memory in two steps, over model and optimizer state: {grown:.0f} MiB.")
    else:
        _in_children(threads, repeats, side, batch_size, precision)


def _in_children(threads: int, repeats: int, side: int, batch_size: int, precision: str) -> None:
    """Allocator and threads are read when a process starts."""
    kind = "CPU" if threads == 1 else "wall"
    click.echo(f"hybrid, N={side}, batch {batch_size}, {precision}, {threads} thread(s), {kind} time; {environment()}")
    command = [sys.executable, __file__, f"--threads={threads}", f"--repeats={repeats}", f"--N={side}"]
    command += [f"--batch-size={batch_size}", f"--precision={precision}", "--child"]
    variables = {**os.environ, **ALLOCATOR, "OMP_NUM_THREADS": str(threads)}
    for child in ("time", "memory"):
        subprocess.run([*command, child], env=variables, check=True)


if __name__ == "__main__":
    main()
