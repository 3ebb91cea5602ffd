"""What telemetry costs: step time with and without the gradient instruments, and the time spent inside all of it.

    python benchmarks/telemetry.py [--steps 400 --block 50] [name=value ...]

Two trainings, each in a process of its own: `tiny` (hybrid, 2 blocks of width 4, N=16) and `full` (the standard hybrid,
N=64), on one thread, with a real store attached. Within a training, blocks of steps with the instruments alternate with
blocks without them; the ratio is the median over neighbouring blocks. Every call into telemetry is timed too: the cost
of what cannot be switched off. Times are those of the training's thread, so that a busy machine does not count.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import click

TINY = {"N": 16, "size": 64, "outer_offset_train": 12, "fno_blocks": 2, "width": 4, "modes": 4}
CASES: dict[str, tuple[dict[str, Any], int, int]] = {"tiny": (TINY, 1000, 50), "full": ({}, 80, 1)}
"""Settings, steps, steps per block."""
WARM_UP = 4
"""Steps that are not counted."""


class Stopwatch:
    """Adds up the time inside calls, by label; a call within another counts once."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._inside = False

    def wrap(self, owner: Any, name: str, label: str) -> None:
        inner = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return inner(*args, **kwargs)
            self._inside = True
            start = time.thread_time()
            try:
                return inner(*args, **kwargs)
            finally:
                self._inside = False
                self.spent[label] += time.thread_time() - start

        setattr(owner, name, timed)


def measure(case: str, steps: int, block: int, settings: dict[str, str]) -> None:
    import lightning as L
    import torch

    from ptycho_mlf.config import RunConfig
    from ptycho_mlf.runs.dataset import load_run_data
    from ptycho_mlf.runs.live_metrics import LiveMetrics
    from ptycho_mlf.tracking.run_record import RunRecord
    from ptycho_mlf.tracking.store import connect
    from ptycho_mlf.training import module as step_module
    from ptycho_mlf.training.fit import fit
    from ptycho_mlf.training.gradient_monitor import GradientMonitor

    class Switch(L.Callback):
        """Passes hooks on to an instrument, but for steps of odd blocks; keeps the time of every step."""

        def __init__(self, instrument: GradientMonitor) -> None:
            self.instrument, self.count, self.times = instrument, 0, [[], []]

        @property
        def on(self) -> bool:
            return self.count < WARM_UP or (self.count - WARM_UP) // block % 2 == 0

        def on_train_start(self, *args: Any) -> None:
            self.instrument.on_train_start(*args)

        def on_train_batch_start(self, *args: Any) -> None:
            self.start = time.thread_time()

        def on_after_backward(self, *args: Any) -> None:
            if self.on:
                self.instrument.on_after_backward(*args)

        def on_train_batch_end(self, *args: Any) -> None:
            if self.on:
                self.instrument.on_train_batch_end(*args)
            if self.count >= WARM_UP:
                self.times[0 if self.on else 1].append(time.thread_time() - self.start)
            self.count += 1

        def on_train_end(self, *args: Any) -> None:
            self.instrument.on_train_end(*args)

    torch.set_num_threads(1)
    base = RunConfig.from_flat({"accelerator": "cpu", "threads": 1, **CASES[case][0], **settings})
    patterns = len(load_run_data(base).holdout.train)
    epochs = -(-(steps + WARM_UP) * base.training.batch_size // patterns)
    if epochs == 1:
        base = base.with_changes(train_patterns=(steps + WARM_UP) * base.training.batch_size, val_fraction=0.01)
    config = base.with_changes(epochs=epochs)
    data = load_run_data(config)
    watch = Stopwatch()
    watch.wrap(step_module, "norms", "norms of step and weights")
    watch.wrap(step_module, "update_norms", "norms of step and weights")
    watch.wrap(step_module.BatchContrast, "__call__", "contrast of the batch")
    watch.wrap(step_module.StepTrace, "record", "row of the trace")
    watch.wrap(step_module.StepTrace, "flush", "flush of the trace")
    for hook in ("on_after_backward", "on_train_batch_end", "on_train_end"):
        watch.wrap(GradientMonitor, hook, "gradient instruments")
    watch.wrap(LiveMetrics, "steps", "metrics to the store")
    watch.wrap(LiveMetrics, "epoch", "metrics to the store")
    with tempfile.TemporaryDirectory() as folder:
        connect(f"sqlite:///{folder}/mlflow.db")
        monitor = GradientMonitor(config.telemetry.gradient_stride, postmortem=config.telemetry.postmortem)
        switch = Switch(monitor)
        with RunRecord.open(name=case, tags={}, params={}) as record:
            live = LiveMetrics(record, steps, 1.0)
            fit(config, data.train, data.holdout, data.val, Path(folder), live, [switch])  # pyright: ignore
            start = time.thread_time()
            monitor.write(Path(folder))
            writing = time.thread_time() - start
    report(case, switch.times, switch.count, block, watch.spent, writing)


def report(
    case: str,
    times: list[list[float]],
    count: int,
    block: int,
    spent: dict[str, float],
    writing: float,
) -> None:
    blocks = [[sum(t[k : k + block]) / block for k in range(0, len(t) - block + 1, block)] for t in times]
    pairs = list(zip(*blocks, strict=False))
    extra = statistics.median(on - off for on, off in pairs)
    plain = statistics.median(blocks[1])
    click.echo(f"{case}: {count} steps, {len(pairs)} pairs of blocks of {block}")
    click.echo(f"  median block without instruments {1e3 * plain:9.3f} ms a step")
    click.echo(f"  median block with instruments    {1e3 * statistics.median(blocks[0]):9.3f} ms a step")
    ratio = statistics.median(on / off for on, off in pairs)
    click.echo(f"  ratio {ratio:.4f}, difference {1e3 * extra:+.3f} ms a step (medians over pairs)")
    recorded = len(times[0]) + WARM_UP
    total = 0.0
    for label, seconds in spent.items():
        each = seconds / (recorded if label == "gradient instruments" else count)
        total += each
        click.echo(f"  inside {label:28s} {1e3 * each:9.3f} ms a step, {100 * each / plain:6.2f} %")
    click.echo(f"  inside all telemetry                {1e3 * total:9.3f} ms a step, {100 * total / plain:6.2f} %")
    click.echo(f"  writing the reports took {writing:.1f} s")


def memory(case: str, settings: dict[str, str]) -> float:
    """Peak of a process that trains some steps, MiB."""
    import torch

    from ptycho_mlf.config import RunConfig
    from ptycho_mlf.runs.dataset import load_run_data
    from ptycho_mlf.training.fit import fit
    from ptycho_mlf.training.gradient_monitor import GradientMonitor

    class Silent:
        def steps(self, rows: object) -> None: ...

        def epoch(self, row: object) -> None: ...

    torch.set_num_threads(1)
    settings = {"accelerator": "cpu", "threads": 1, "epochs": 1, **CASES[case][0], **settings}
    config = RunConfig.from_flat({"train_patterns": 60, "val_fraction": 0.1, **settings})
    data = load_run_data(config)
    stride, postmortem = config.telemetry.gradient_stride, config.telemetry.postmortem
    instruments = [GradientMonitor(stride, postmortem=postmortem)] if stride or postmortem else []
    with tempfile.TemporaryDirectory() as folder:
        fit(config, data.train, data.holdout, data.val, Path(folder), Silent(), instruments)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@click.command()
@click.option("--case", "cases", type=click.Choice(list(CASES)), multiple=True, default=tuple(CASES), show_default=True)
@click.option("--steps", type=int, default=None, help="Steps of a training.")
@click.option("--block", type=int, default=None, help="Steps of a block.")
@click.option("--child", type=click.Choice(["time", "memory"]), default=None, hidden=True)
@click.argument("settings", nargs=-1)
def main(
    cases: tuple[str, ...], steps: int | None, block: int | None, child: str | None, settings: tuple[str, ...]
) -> None:
    for case in cases:
        _, default_steps, default_block = CASES[case]
        if child == "time":
            pairs = dict(setting.split("=", 1) for setting in settings)
            measure(case, steps or default_steps, block or default_block, pairs)
        elif child == "memory":
            click.echo(memory(case, dict(setting.split("=", 1) for setting in settings)))
        else:
            lengths = [] if steps is None else ["--steps", str(steps)]
            lengths += [] if block is None else ["--block", str(block)]
            click.echo(_child("time", case, *lengths, *settings), nl=False)
            plain, full = (
                statistics.median(float(_child("memory", case, *settings, *more)) for _ in range(3))
                for more in (["gradient_stride=0", "postmortem=false"], [])
            )
            click.echo(
                f"  peak memory {plain:.1f} MiB without instruments, {full - plain:+.1f} MiB with (medians of 3)"
            )


def _child(kind: str, case: str, *words: str) -> str:
    command = [sys.executable, __file__, "--child", kind, "--case", case, *words]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{done.stderr}\n{' '.join(command)} failed with code {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
