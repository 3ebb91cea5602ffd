"""What telemetry costs: CPU time of a step with all of it and with none, of the activation statistics, and memory.

    python benchmarks/telemetry.py [--case full] [--steps 200 --block 1] [name=value ...]

Two trainings, each in a process of its own: `tiny` (hybrid, 2 blocks of width 4, N=16) and `full` (the standard hybrid,
N=64, batch 16), on one thread, with a real store attached. Within a training, blocks of plain steps (forward, loss,
backward, torch's own optimizer step) alternate with blocks of the product's steps under every-step telemetry: all
norms, contrasts and the trace, the gradient report, the ring of the post-mortem, the metrics in the store. Differences
are taken between neighbouring blocks; the calls that telemetry consists of are timed too, which is less noisy where a
step is long. Work that falls due every so many steps (flushes, histograms) is timed by itself
and shared among the steps it is for. Times are process CPU time, so that a busy machine counts little; medians with
quartiles. Peak memory is compared between fresh processes of either kind.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ptycho_mlf.config import RunConfig
    from ptycho_mlf.runs.dataset import RunData
    from ptycho_mlf.training.module import PtychoModule

TINY = {"N": 16, "size": 64, "outer_offset_train": 12, "fno_blocks": 2, "width": 4, "modes": 4}
CASES: dict[str, tuple[dict[str, Any], int, int]] = {"tiny": (TINY, 2000, 50), "full": ({}, 200, 10)}
"""Settings, steps, steps per block."""
WARM_UP = 4
"""Steps that are not counted."""
LOOKS = 5
"""Activation statistics that are timed."""
Clock = time.process_time


class Stopwatch:
    """Adds up the time inside calls, by label; a call within another counts once."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self.total = 0.0
        self.running = False
        self._inside = False

    @contextlib.contextmanager
    def label(self, name: str) -> Generator[None]:
        if self._inside or not self.running:
            yield
            return
        self._inside, start = True, Clock()
        try:
            yield
        finally:
            seconds = Clock() - start
            self._inside = False
            self.spent[name] += seconds
            self.total += seconds

    def wrap(self, owner: Any, name: str, label: str) -> None:
        inner = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.label(label):
                return inner(*args, **kwargs)

        setattr(owner, name, timed)


PLAIN = Stopwatch()
"""What the plain step does where the other one measures."""


def plain_step(module: PtychoModule, batch: Any) -> None:
    """A step that looks at nothing."""
    from torch.optim import Adam

    optimizer: Any = module.trainer.optimizers[0]
    optimizer.zero_grad(set_to_none=True)
    amplitude, truth = batch["amplitude"], batch["truth"]
    object_BCNN = module.predict_object(amplitude)
    loss = module.objective(object_BCNN, module.predict_amplitude(object_BCNN), amplitude, truth)
    module.manual_backward(loss)
    optimizer.found_inf = None
    with PLAIN.label("optimizer step"):
        Adam.step(optimizer)
    schedule: Any = module.trainer.lr_scheduler_configs[0].scheduler
    schedule.step()
    module.steps_taken += 1


def interleaved(monitor: Any, periodic: Stopwatch, inside: Stopwatch, block: int) -> Any:
    """A callback that has blocks of steps take the plain step, and keeps the times of both kinds."""
    import lightning as L

    class Interleaved(L.Callback):
        def __init__(self) -> None:
            self.count, self.times = 0, ([], [])
            """Seconds per step: plain, with telemetry; without what is periodic."""

        @property
        def on(self) -> bool:
            return self.count < WARM_UP or (self.count - WARM_UP) // block % 2 == 1

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            real = pl_module.training_step

            def step(batch: Any, batch_idx: int) -> None:
                real(batch, batch_idx) if self.on else plain_step(pl_module, batch)

            pl_module.training_step = step
            monitor.on_train_start(trainer, pl_module)

        def on_train_batch_start(self, *args: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            periodic.running = inside.running = PLAIN.running = self.count >= WARM_UP
            self._apart, self._start = periodic.total, Clock()

        def on_after_backward(self, *args: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            if self.on:
                monitor.on_after_backward(*args)

        def on_train_batch_end(self, *args: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            if self.on:
                monitor.on_train_batch_end(*args)
            if self.count >= WARM_UP:
                seconds = Clock() - self._start - (periodic.total - self._apart)
                self.times[int(self.on)].append(seconds)
            self.count += 1

    return Interleaved()


def prepared(case: str, steps: int, settings: dict[str, str]) -> tuple[RunConfig, RunData, int, int]:
    """A run of at least so many steps, its data, and steps per epoch and epochs of the run as it is configured."""
    import torch

    from ptycho_mlf.config import RunConfig
    from ptycho_mlf.runs.dataset import load_run_data

    torch.set_num_threads(1)
    base = RunConfig.from_flat({"accelerator": "cpu", "threads": 1, **CASES[case][0], **settings})
    size, epochs = base.training.batch_size, base.training.epochs
    patterns = len(load_run_data(base).holdout.train)
    wanted = (steps + WARM_UP) * size
    if wanted < patterns:
        base = base.with_changes(train_patterns=wanted, val_fraction=0.01)
    config = base.with_changes(epochs=max(1, -(-wanted // patterns)))
    return config, load_run_data(config), -(-patterns // size), epochs


def measure(case: str, steps: int, block: int, settings: dict[str, str]) -> dict[str, Any]:
    """Times of one training."""
    from ptycho_mlf.runs.live_metrics import LiveMetrics
    from ptycho_mlf.tracking.run_record import RunRecord
    from ptycho_mlf.tracking.store import connect
    from ptycho_mlf.training import gradient_monitor
    from ptycho_mlf.training import module as step_module
    from ptycho_mlf.training.fit import fit
    from ptycho_mlf.training.recorder import Recorder

    config, data, epoch_steps, base_epochs = prepared(case, steps, settings)
    periodic, inside = Stopwatch(), Stopwatch()
    for owner, name, label in (
        (Recorder, "_flush", "flush of the trace, metrics to the store"),
        (gradient_monitor.GradientMonitor, "_flush", "flush of the layers' norms"),
        (gradient_monitor, "layer_histograms", "histograms of gradients"),
    ):
        periodic.wrap(owner, name, label)
    # An epoch may hold plain steps alone: no epoch rows here.
    Recorder.on_train_epoch_end = lambda self, *both: self._flush(*both)
    for owner, name, label in (
        (step_module, "norms", "norms of gradients"),
        (step_module, "masked_step", "optimizer step, measured"),
        (step_module.BatchContrast, "__call__", "contrast of the batch"),
        (step_module.StepTrace, "record", "row of the trace"),
        (gradient_monitor.GradientMonitor, "on_train_batch_end", "row of the layers' norms"),
    ):
        inside.wrap(owner, name, label)
    monitor = gradient_monitor.GradientMonitor(config.telemetry.gradient_stride, postmortem=True)
    arms, looks = interleaved(monitor, periodic, inside, block), Looks()
    with tempfile.TemporaryDirectory() as folder:
        connect(f"sqlite:///{folder}/mlflow.db")
        with RunRecord.open(name=case, tags={}, params={}) as record:
            # Metrics are thinned as in a whole run.
            live = LiveMetrics(record, max(steps, base_epochs * epoch_steps), 1.0, clips=False)
            fit(config, data.train, data.holdout, data.val, Path(folder), live, [arms, looks.callback()])  # pyright: ignore
            periodic.running = True
            with periodic.label("flush of the trace, metrics to the store"):
                live.close()
                record.flush()
    plain, recorded = (len(times) for times in arms.times)
    inside.spent["plain optimizer step, subtracted"] = -PLAIN.total * recorded / plain
    return {
        "times": arms.times,
        "block": block,
        "periodic": {name: seconds / recorded for name, seconds in periodic.spent.items()},
        "inside": {name: seconds / recorded for name, seconds in inside.spent.items()},
        "looks": looks.seconds,
        "epoch_steps": epoch_steps,
    }


class Looks:
    """Takes activation statistics as at the end of an epoch, a few times along a training, apart from its steps."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def callback(self) -> Any:
        import lightning as L

        from ptycho_mlf.training.activation_monitor import ActivationMonitor

        seconds, monitor = self.seconds, ActivationMonitor(1, {})

        class Look(L.Callback):
            def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
                if pl_module.steps_taken % WARM_UP == 0 and len(seconds) < LOOKS:
                    start = Clock()
                    monitor.on_train_start(trainer, pl_module)
                    seconds.append(Clock() - start)

        return Look()


def spread(values: Sequence[float], unit: float, form: str) -> str:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
    return f"{unit * middle:{form}} [{unit * low:{form}}, {unit * high:{form}}]"


def report(case: str, found: dict[str, Any]) -> None:
    """Print what was measured."""
    block = found["block"]
    plain, full = (
        [statistics.fmean(t[k : k + block]) for k in range(0, len(t) - block + 1, block)] for t in found["times"]
    )
    extra = [b - a for a, b in zip(plain, full, strict=False)]
    step, due = statistics.median(plain), sum(found["periodic"].values())
    click.echo(f"{case}: {len(extra)} pairs of blocks of {block} steps; median [quartiles]")
    click.echo(f"  plain step                        {spread(plain, 1e3, '9.3f')} ms")
    click.echo(f"  step with telemetry               {spread(full, 1e3, '9.3f')} ms")
    click.echo(f"  difference of neighbours          {spread(extra, 1e3, '9.3f')} ms")
    for name, seconds in found["periodic"].items():
        click.echo(f"    and {name:42s} {1e3 * seconds:7.3f} ms a step")
    for name, seconds in found["inside"].items():
        click.echo(f"    inside {name:39s} {1e3 * seconds:7.3f} ms a step")
    for what, cost in (
        ("differences", statistics.median(extra) + due),
        ("times inside", sum(found["inside"].values()) + due),
    ):
        click.echo(f"  telemetry by {what:12s}         {1e3 * cost:9.3f} ms a step, {100 * cost / step:.2f} % of it")
    look, epoch = statistics.median(found["looks"]), found["epoch_steps"] * step
    click.echo(f"  activation statistics             {spread(found['looks'], 1e3, '9.1f')} ms")
    click.echo(f"    of an epoch of {found['epoch_steps']} plain steps ({epoch:.2f} s): {100 * look / epoch:.2f} %")


def memory(case: str, settings: dict[str, str], *, telemetry: bool) -> float:
    """Peak of a process that trains some steps with a store attached, MiB."""
    from ptycho_mlf.runs.live_metrics import LiveMetrics
    from ptycho_mlf.tracking.run_record import RunRecord
    from ptycho_mlf.tracking.store import connect
    from ptycho_mlf.training.activation_monitor import ActivationMonitor
    from ptycho_mlf.training.fit import fit
    from ptycho_mlf.training.gradient_monitor import GradientMonitor
    from ptycho_mlf.training.module import PtychoModule
    from ptycho_mlf.training.recorder import Recorder

    class Silent:
        def steps(self, rows: object) -> None: ...

        def epoch(self, row: object) -> None: ...

    config, data, *_ = prepared(case, 8, settings)
    instruments = [GradientMonitor(1, postmortem=True), ActivationMonitor(1, {})] if telemetry else []
    if not telemetry:
        PtychoModule.training_step = lambda self, batch, batch_idx: plain_step(self, batch)
        # Without a trace there is no epoch row, but checkpoints are kept.
        Recorder.on_train_epoch_end = lambda self, trainer, _: self._checkpoints.update(trainer, 1, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        connect(f"sqlite:///{folder}/mlflow.db")
        with RunRecord.open(name=case, tags={}, params={}) as record:
            observer: Any = LiveMetrics(record, 8, 1.0, clips=False) if telemetry else Silent()
            fit(config, data.train, data.holdout, data.val, Path(folder), observer, instruments)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@click.command()
@click.option("--case", "cases", type=click.Choice(list(CASES)), multiple=True, default=tuple(CASES), show_default=True)
@click.option("--steps", type=int, default=None, help="Steps of a training.")
@click.option("--block", type=int, default=None, help="Steps of a block.")
@click.option("--child", type=click.Choice(["time", "plain", "telemetry"]), default=None, hidden=True)
@click.argument("settings", nargs=-1)
def main(
    cases: tuple[str, ...], steps: int | None, block: int | None, child: str | None, settings: tuple[str, ...]
) -> None:
    pairs = dict(setting.split("=", 1) for setting in settings)
    for case in cases:
        _, default_steps, default_block = CASES[case]
        if child == "time":
            click.echo(json.dumps(measure(case, steps or default_steps, block or default_block, pairs)))
        elif child is not None:
            click.echo(memory(case, pairs, telemetry=child == "telemetry"))
        else:
            lengths = [] if steps is None else ["--steps", str(steps)]
            lengths += [] if block is None else ["--block", str(block)]
            report(case, json.loads(_child("time", case, *lengths, *settings)))
            kinds = ("plain", "telemetry") * 3
            peaks = [float(_child(kind, case, *settings)) for kind in kinds]
            plain, full = sorted(peaks[0::2]), sorted(peaks[1::2])
            click.echo(
                f"  peak memory {plain[1]:.0f} MiB [{plain[0]:.0f}, {plain[2]:.0f}] plain; with all instruments"
                f" {full[1] - plain[1]:+.0f} MiB [{full[0]:.0f}, {full[2]:.0f}]"
            )


def _child(kind: str, case: str, *words: str) -> str:
    command = [sys.executable, __file__, "--child", kind, "--case", case, *words]
    # Peaks of live memory: every large block is given back when it is freed, none lingers in the allocator.
    settled = {} if kind == "time" else {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **settled})
    if done.returncode:
        raise SystemExit(f"{done.stderr}\n{' '.join(command)} failed with code {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
