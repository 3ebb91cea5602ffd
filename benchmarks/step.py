"""Seconds per training step and peak memory of the real training loop, telemetry included.

    python benchmarks/step.py --threads 1 --threads 2 [--architecture hybrid --N 64 --batch-size 16 --repeats 3]

Every thread count runs in a process of its own, with the allocator settings of docs/performance.md. A step costs the
difference between a long and a short epoch, so that validation and start-up cancel; medians with the extremes.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import click
from machine import ALLOCATOR, environment

SHORT, LONG = 5, 25
"""Steps of the two epochs."""


class Clock:
    """An observer that reads the clocks when an epoch ends."""

    def __init__(self) -> None:
        self.start = (time.perf_counter(), time.process_time())
        self.spent = (0.0, 0.0)

    def steps(self, rows: object) -> None: ...

    def epoch(self, row: object) -> None:
        self.spent = (time.perf_counter() - self.start[0], time.process_time() - self.start[1])


def measure(threads: int, repeats: int, settings: dict[str, object]) -> dict[str, object]:
    import torch

    from ptycho_mlf.config import RunConfig
    from ptycho_mlf.runs.dataset import load_run_data
    from ptycho_mlf.training.fit import fit

    def epoch(steps: int) -> tuple[float, float]:
        config = RunConfig.from_flat(
            {**settings, "epochs": 1, "scheduler": "Default", "val_fraction": 0.01, "threads": threads}
            | {"train_patterns": steps * int(str(settings["batch_size"]))}
        )
        data = load_run_data(config)
        clock = Clock()
        with tempfile.TemporaryDirectory() as folder:
            fit(config, data.train, data.holdout, data.val, Path(folder), clock)
        return clock.spent

    epoch(SHORT)
    # One training's peak: later ones would add what the allocator keeps of the earlier.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    walls, cpus = [], []
    for _ in range(repeats):
        short, long = epoch(SHORT), epoch(LONG)
        walls.append((long[0] - short[0]) / (LONG - SHORT))
        cpus.append((long[1] - short[1]) / (LONG - SHORT))
    return {
        "threads": torch.get_num_threads(),
        "wall": _spread(walls),
        "cpu": _spread(cpus),
        "peak": round(peak / 1024),
    }


def _spread(seconds: list[float]) -> str:
    return f"{median(seconds):.3f} [{min(seconds):.3f}, {max(seconds):.3f}]"


@click.command()
@click.option("--threads", type=int, multiple=True, default=(1, 2), show_default=True, help="CPU threads.")
@click.option("--architecture", default="hybrid", show_default=True)
@click.option("--N", "side", type=int, default=64, show_default=True)
@click.option("--batch-size", type=int, default=16, show_default=True)
@click.option("--repeats", type=int, default=3, show_default=True)
@click.option("--child", is_flag=True, hidden=True)
def main(threads: tuple[int, ...], architecture: str, side: int, batch_size: int, repeats: int, child: bool) -> None:
    settings = {"architecture": architecture, "N": side, "batch_size": batch_size}
    if child:
        click.echo(json.dumps(measure(threads[0], repeats, settings)))
        return
    click.echo(f"{architecture}, N={side}, batch {batch_size}; {environment()}\n")
    click.echo("| threads | wall, s a step | CPU, s a step | peak RSS, MiB |\n|---|---|---|---|")
    for count in threads:
        command = [sys.executable, __file__, "--child", f"--threads={count}", f"--repeats={repeats}"]
        command += [f"--architecture={architecture}", f"--N={side}", f"--batch-size={batch_size}"]
        variables = {**os.environ, **ALLOCATOR, "OMP_NUM_THREADS": str(count)}
        done = subprocess.run(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed with code {done.returncode}")
        found = json.loads(done.stdout)
        click.echo("| {threads} | {wall} | {cpu} | {peak} |".format(**found))


if __name__ == "__main__":
    main()
