"""What keeping freed memory and sleeping threads give a training step: `python benchmarks/process.py [name=value ...]`.

    python benchmarks/process.py [--part allocator --part waits] [--rounds 2] [--steps 7] [N=128 ...]

takes parameters of a run. Every figure is the median of the steps of one process, the first three left out; processes
of both kinds alternate, and medians and quartiles are over the processes. `allocator` has one thread; `waits` has two,
alone and beside two processes that never rest. It takes less than three minutes on two idle cores.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import click
from machine import environment, spread

ROOT = Path(__file__).parents[1]
WARM_UP = 3
GLIBC = {"MALLOC_TOP_PAD_": str(128 << 10)}
"""Glibc's own default: a variable that is set leaves the allocator alone."""
VARIANTS = {
    "allocator": {
        "as glibc has it": (1, 0, GLIBC),
        "freed memory kept": (1, 0, dict[str, str]()),
    },
    "waits": {
        f"{name}, {'beside 2 busy processes' if busy else 'alone'}": (2, busy, variables)
        for busy in (0, 2)
        for name, variables in (("OpenMP's default", {"GOMP_SPINCOUNT": "300000"}), ("passive", {}))
    },
}
"""By name: threads, busy processes beside it, variables. OpenMP spins for 300,000 rounds where no policy is set."""


def measure(threads: int, steps: int, settings: Mapping[str, str]) -> dict[str, float]:
    """Medians of one training, and its peak."""
    from ptycho_mlf.runs.process_setup import keep_freed_memory, prepare_process

    if "GOMP_SPINCOUNT" in os.environ:
        keep_freed_memory()
    else:
        prepare_process()
    import lightning as L

    from ptycho_mlf.config import RunConfig
    from ptycho_mlf.runs.dataset import load_run_data
    from ptycho_mlf.training.fit import fit
    from ptycho_mlf.training.threads import cpu_threads

    clocks: list[tuple[float, float]] = []

    class Clock(L.Callback):
        def on_train_batch_end(
            self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
        ) -> None:
            clocks.append((time.perf_counter(), time.process_time()))

    class Silent:
        def steps(self, rows: object) -> None: ...

        def epoch(self, row: object) -> None: ...

    few = {"epochs": 1, "scheduler": "Default", "val_fraction": 0.01}
    config = RunConfig.from_flat({**few, **settings})
    config = config.with_changes(train_patterns=steps * config.training.batch_size)
    data = load_run_data(config)
    with tempfile.TemporaryDirectory() as folder, cpu_threads(threads):
        fit(config, data.train, data.holdout, data.val, Path(folder), Silent(), [Clock()])
    wall, own = (
        median([b - a for a, b in zip(column[WARM_UP - 1 :], column[WARM_UP:], strict=False)])
        for column in zip(*clocks, strict=True)
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"ms a step": 1e3 * wall, "ms of CPU a step": 1e3 * own, "peak RSS, MiB": peak}


def child(
    threads: int, busy: int, variables: Mapping[str, str], steps: int, settings: Sequence[str]
) -> dict[str, float]:
    """A measurement in a process of its own, with processes beside it that never rest."""
    inherited = {name: x for name, x in os.environ.items() if not name.startswith(("MALLOC_", "OMP_", "GOMP_"))}
    command = [sys.executable, str(Path(__file__).absolute()), f"--child={threads}", f"--steps={steps}", *settings]
    own = {**inherited, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads), **variables}
    with ExitStack() as stack:
        for _ in range(busy):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(process.kill)
        done = subprocess.run(
            command, env=own, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
        )
    return json.loads(done.stdout.splitlines()[-1])


@click.command()
@click.option("--part", "parts", type=click.Choice(list(VARIANTS)), multiple=True, default=tuple(VARIANTS))
@click.option("--rounds", type=click.IntRange(2), default=2, show_default=True)
@click.option("--steps", type=click.IntRange(WARM_UP + 2), default=7, show_default=True)
@click.option("--child", "threads", type=int, default=0, hidden=True)
@click.argument("settings", nargs=-1)
def main(parts: Sequence[str], rounds: int, steps: int, threads: int, settings: Sequence[str]) -> None:
    if threads:
        click.echo(json.dumps(measure(threads, steps, dict(setting.split("=", 1) for setting in settings))))
        return
    click.echo(environment())
    for part in parts:
        found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for _ in range(rounds):
            for name, (count, busy, variables) in VARIANTS[part].items():
                for column, value in child(count, busy, variables, steps, settings).items():
                    found[name][column].append(value)
        columns = list(next(iter(found.values())))
        click.echo(f"\n| {part} | " + " | ".join(columns) + " |\n|" + "---|" * (1 + len(columns)))
        for name, values in found.items():
            click.echo(f"| {name} | " + " | ".join(spread(values[column], 0) for column in columns) + " |")


if __name__ == "__main__":
    main()
