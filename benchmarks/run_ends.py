"""What a run costs beside its training: data set, evaluation, figures, artifacts; `--help` and `compare` of 500 runs.

    python benchmarks/run_ends.py [--part dataset --part end --part help --part compare]
        [--repeats 3] [--runs 500] [name=value ...]

takes parameters of a run, such as N=32. Everything is measured in fresh processes, with an sqlite store; figures are
medians with quartiles. The training of `end` is one epoch of a few steps; from its last step on the run is timed.
"""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import chdir
from functools import wraps
from pathlib import Path
from typing import Any

import click
from machine import environment, spread

ROOT = Path(__file__).parents[1]
TABLES, STEPS = 5, 5
PARTS = {
    "checkpoints": "ptycho_mlf.training.checkpoints:_save",
    "prediction of the test scan": "ptycho_mlf.runs.scoring:reconstruct",
    "metrics": "ptycho_mlf.runs.scoring:evaluate_image",
    "figures and images": "ptycho_mlf.runs.stage_a:write_figures",
    "reports of layers": "ptycho_mlf.runs.stage_a:_Run._write",
    "model": "ptycho_mlf.runs.stage_a:log_model",
    "upload of artifacts": "ptycho_mlf.tracking.run_record:RunRecord.log_folder",
}
"""What the end of a run consists of, beside the last validation: no part calls another."""


class Stopwatch:
    """Wall and processor seconds of functions that are replaced by timed ones."""

    def __init__(self, parts: Mapping[str, str]) -> None:
        self.marks: dict[str, tuple[float, float]] = {}
        self.seconds: dict[str, list[float]] = {name: [0.0, 0.0] for name in parts}
        for name, where in parts.items():
            self._replace(where, name)

    def mark(self, name: str) -> None:
        self.marks[name] = _clocks()

    def mark_after(self, where: str, name: str) -> None:
        owner, attribute = _owner(where)
        function = getattr(owner, attribute)

        @wraps(function)
        def marked(*arguments: Any, **options: Any) -> Any:
            result = function(*arguments, **options)
            # From the last call on.
            self.mark(name)
            for spent in self.seconds.values():
                spent[:] = [0.0, 0.0]
            return result

        setattr(owner, attribute, marked)

    def _replace(self, where: str, name: str) -> None:
        owner, attribute = _owner(where)
        function = getattr(owner, attribute)

        @wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            start = _clocks()
            try:
                return function(*arguments, **options)
            finally:
                spent = self.seconds[name]
                spent[:] = [x + end - begin for x, end, begin in zip(spent, _clocks(), start, strict=True)]

        setattr(owner, attribute, timed)


def _owner(where: str) -> tuple[Any, str]:
    module, _, path = where.partition(":")
    owner: Any = __import__(module, fromlist=["_"])
    *outer, attribute = path.split(".")
    for name in outer:
        owner = getattr(owner, name)
    return owner, attribute


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_dataset(settings: Mapping[str, str]) -> dict[str, list[float]]:
    """Seconds and peak memory, MiB, of one call; the cache is the folder PTYCHO_MLF_CACHE."""
    from ptycho_mlf.config import RunConfig
    from ptycho_mlf.simulation import load_or_simulate

    data, start = RunConfig.from_flat(settings).data, _clocks()
    load_or_simulate(data)
    return {"all": [end - begin for end, begin in zip(_clocks(), start, strict=True)] + [_peak_mib()]}


def measure_end(settings: Mapping[str, str]) -> dict[str, list[float]]:
    """Seconds and processor seconds from the last step on, by part; peaks of training and of all, MiB."""
    from ptycho_mlf.config import RunConfig
    from ptycho_mlf.runs.process_setup import prepare_process

    prepare_process()
    from ptycho_mlf.runs.stage_a import run_stage_a

    config = RunConfig.from_flat({"epochs": 1, "scheduler": "Default", **settings})
    config = config.with_changes(train_patterns=STEPS * config.training.batch_size)
    watch, peaks = Stopwatch(PARTS), list[float]()
    watch.mark_after("ptycho_mlf.training.module:PtychoModule.training_step", "last step")
    judge, name = _owner("ptycho_mlf.runs.stage_a:write_training")
    write_training = getattr(judge, name)

    def after_training(*arguments: Any) -> None:
        watch.mark("trained")
        peaks.append(_peak_mib())
        write_training(*arguments)

    setattr(judge, name, after_training)
    run_stage_a(config)
    watch.mark("end")

    def between(first: str, last: str) -> list[float]:
        return [b - a for a, b in zip(watch.marks[first], watch.marks[last], strict=True)]

    seconds = dict(watch.seconds)
    whole, tail = between("last step", "end"), between("last step", "trained")
    checkpoints = seconds["checkpoints"]
    found = {"last validation": [a - b for a, b in zip(tail, checkpoints, strict=True)]} | seconds
    rest = [total - sum(part[k] for part in found.values()) for k, total in enumerate(whole)]
    passes = [found["last validation"][k] + found["prediction of the test scan"][k] for k in (0, 1)]
    without = [total - part for total, part in zip(whole, passes, strict=True)]
    totals = {"rest": rest, "all": whole, "all without passes through the network": without}
    return found | totals | {"peak": [*peaks, _peak_mib()]}


def measure_compare(settings: Mapping[str, str]) -> dict[str, list[float]]:
    """Seconds of query and table, the first and the others, with what they need imported."""
    from rich.console import Console

    from ptycho_mlf.runs.comparison import compare, print_comparison
    from ptycho_mlf.tracking.store import connect

    connect()
    found: dict[str, list[float]] = {}
    for number in range(TABLES):
        start = _clocks()
        print_comparison(compare(), Console(file=io.StringIO(), width=160))
        found["first" if number == 0 else "again"] = [b - a for a, b in zip(start, _clocks(), strict=True)]
    return found


MEASURES = {"dataset": measure_dataset, "end": measure_end, "compare": measure_compare}


def child(part: str, settings: Mapping[str, str], folder: Path, cache: Path) -> dict[str, list[float]]:
    """A measurement in a process of its own, in this folder."""
    command = [sys.executable, str(Path(__file__).absolute()), "--child", part]
    command += [f"{name}={value}" for name, value in settings.items()]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PTYCHO_MLF_CACHE": str(cache)}
    done = subprocess.run(command, cwd=folder, env=variables, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def command_seconds(arguments: Sequence[str], folder: Path) -> list[float]:
    """Wall and processor seconds of a whole command."""
    before, start = os.times(), time.perf_counter()
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", *arguments], cwd=folder, env=variables, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return [time.perf_counter() - start, processor]


def table(title: str, columns: Sequence[str], rows: Mapping[str, Sequence[Sequence[float]]], digits: int = 2) -> None:
    """Median and quartiles over the repeats of every row; one column of a row may have no values."""
    click.echo(f"\n| {title} | " + " | ".join(columns) + " |\n|" + "---|" * (1 + len(columns)))
    for name, values in rows.items():
        cells = [spread(list(column), 0 if max(column) > 50 else digits) for column in zip(*values, strict=True)]
        click.echo(f"| {name} | " + " | ".join(cells) + " |")


def show_dataset(settings: Mapping[str, str], repeats: int, scratch: Path, runs: int) -> None:
    rows: dict[str, list[list[float]]] = defaultdict(list)
    for number in range(repeats):
        fresh = scratch / f"cache-{number}"
        rows["built and put into the cache"].append(child("dataset", settings, scratch, fresh)["all"])
        rows["from the cache"].append(child("dataset", settings, scratch, fresh)["all"])
    table("data set", ("s", "s of CPU", "peak RSS, MiB"), rows)


def show_end(settings: Mapping[str, str], repeats: int, scratch: Path, runs: int) -> None:
    rows: dict[str, list[list[float]]] = defaultdict(list)
    for _ in range(repeats):
        for part, values in child("end", settings, scratch, scratch / "cache-0").items():
            rows[part].append(values)
    peaks = rows.pop("peak")
    table("end of a run", ("s", "s of CPU"), rows)
    table("peak RSS, MiB", ("until the end of the training", "until the end of the run"), {"": peaks})


def show_help(settings: Mapping[str, str], repeats: int, scratch: Path, runs: int) -> None:
    entries = sorted(path.stem for path in (ROOT / "entrypoints").glob("[!_]*.py"))
    rounds = [(entry, command_seconds([f"entrypoints.{entry}", "--help"], scratch)) for entry in entries * repeats]
    rows = {entry: [seconds for name, seconds in rounds if name == entry] for entry in entries}
    table("`--help`", ("s", "s of CPU"), rows)


def show_compare(settings: Mapping[str, str], repeats: int, scratch: Path, runs: int) -> None:
    import numpy as np
    from mlflow import MlflowClient
    from report import write_run

    from ptycho_mlf.tracking.run_record import RunRecord
    from ptycho_mlf.tracking.store import connect

    folder = scratch / "compare"
    folder.mkdir()
    with chdir(folder):
        connect()
        client, noise = MlflowClient(), np.random.default_rng(0)
        with RunRecord.open(name="benchmark") as parent:
            for number in range(runs):
                write_run(client, parent, number, noise)
    rows: dict[str, list[list[float]]] = defaultdict(list)
    for _ in range(repeats):
        found = child("compare", {}, folder, scratch / "cache-0")
        rows["query and table, first in its process"].append(found["first"])
        rows["query and table, again"].append(found["again"])
        rows["the whole command"].append(command_seconds(["entrypoints.compare"], folder))
    table(f"`compare` of {runs} runs", ("s", "s of CPU"), rows)


SHOWN = {"dataset": show_dataset, "end": show_end, "help": show_help, "compare": show_compare}


@click.command()
@click.option("--part", "parts", type=click.Choice(list(SHOWN)), multiple=True, default=tuple(SHOWN))
@click.option("--repeats", type=click.IntRange(2), default=3, show_default=True)
@click.option("--runs", default=500, show_default=True, help="Runs to compare.")
@click.option("--child", "part", type=click.Choice(list(MEASURES)), default=None, hidden=True)
@click.argument("settings", nargs=-1)
def main(parts: Sequence[str], repeats: int, runs: int, part: str | None, settings: Sequence[str]) -> None:
    given = dict(setting.split("=", 1) for setting in settings)
    if part is not None:
        click.echo(json.dumps(MEASURES[part](given)))
        return
    click.echo(environment())
    with tempfile.TemporaryDirectory() as folder:
        for name in parts:
            SHOWN[name](given, repeats, Path(folder), runs)


if __name__ == "__main__":
    main()
