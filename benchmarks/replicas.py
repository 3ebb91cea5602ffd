"""Trainings an hour, CPU time and memory: K trainings in one process against K processes with one each.

    python benchmarks/replicas.py [--case quickstart] [--rounds 3] [--runs 8] [name=value ...]

Each layout, such as 1 process with 4 replicas or 4 with one, is a set of worker processes that stays for all rounds; in
a round the layouts take turns with a study of a few trainings each: data from the cache, training, scores, record in a
SQLite store, as in a search (keep=evidence). `tiny`: 2 blocks of width 4, N=16; `quickstart`: 3 blocks of width 16,
N=32. One CPU thread a training, the same allocator settings everywhere. Wall time is from the first trial's start to
the last one's end; CPU time is that of all processes of a layout; memory is what its processes hold for themselves
alone (USS) after the last round, and their largest resident sizes added up. Medians with the lowest and highest round.
"""

from __future__ import annotations

import json
import os
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
import psutil
from machine import environment

COMMON = {"accelerator": "cpu", "keep": "evidence", "picture_epochs": 0, "gradient_stride": 0, "threads": 1}
TINY = {"N": 16, "size": 64, "outer_offset_train": 12, "fno_blocks": 2, "width": 4, "modes": 4, "epochs": 4}
QUICKSTART = {"N": 32, "train_patterns": 480, "fno_blocks": 3, "width": 16, "modes": 8, "epochs": 1}
CASES: dict[str, dict[str, Any]] = {"tiny": TINY, "quickstart": QUICKSTART}
LAYOUTS = ("1x1", "1x2", "2x1", "1x4", "4x1")
"""Processes x replicas in each."""
ENVIRONMENT = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}


@click.command()
@click.option("--case", type=click.Choice(list(CASES)), multiple=True, default=tuple(CASES))
@click.option("--layout", type=click.Choice(LAYOUTS), multiple=True, default=LAYOUTS)
@click.option("--rounds", default=3)
@click.option("--runs", default=8, help="Trainings of a layout in a round.")
@click.option("--part", default=0, hidden=True)
@click.argument("changes", nargs=-1)
def main(
    case: tuple[str, ...], layout: tuple[str, ...], rounds: int, runs: int, part: int, changes: tuple[str, ...]
) -> None:
    if part:
        serve(part, json.loads(changes[0]))
        return
    given = dict(change.split("=", 1) for change in changes)
    print(environment())
    for name in case:
        with tempfile.TemporaryDirectory() as folder:
            settings = {**COMMON, **CASES[name], "cache_dir": f"{folder}/cache", **given}
            compare(name, settings, layout, rounds, runs, folder)


def compare(name: str, settings: dict[str, Any], names: tuple[str, ...], rounds: int, runs: int, folder: str) -> None:
    """One table."""
    variables = {**os.environ, **ENVIRONMENT, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    layouts = {layout: Layout(layout, settings, folder, variables) for layout in names}
    walls, cpus = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    memory: dict[str, tuple[float, float]] = {}
    for number in range(-1, rounds):  # The first one warms up.
        for key, layout in layouts.items():
            wall, cpu, memory[key] = layout.work(f"{folder}/{number}-{key}.db", runs if number >= 0 else 4)
            if number >= 0:
                walls[key].append(runs / wall * 3600)
                cpus[key].append(cpu / runs)
    print(f"\n{name}, {rounds} rounds of {runs} trainings\n")
    print("| processes x replicas | trainings an hour | CPU s a training | own memory, MiB | peak, MiB |")
    print("|---|---|---|---|---|")
    for key, layout in layouts.items():
        layout.end()
        cells = [
            key,
            spread(walls[key], 0),
            spread(cpus[key], 2),
            *(f"{m:.0f}" for m in memory[key]),
        ]
        print("| " + " | ".join(cells) + " |")


def spread(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]"


class Layout:
    """Worker processes that wait for studies to work on."""

    def __init__(self, layout: str, settings: dict[str, Any], folder: str, environment: dict[str, str]) -> None:
        processes, replicas = map(int, layout.split("x"))
        command = [sys.executable, __file__, "--part", str(replicas), json.dumps(settings)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._log = Path(f"{folder}/{layout}.log")
        with self._log.open("w") as errors:
            self._children = [
                subprocess.Popen(command, cwd=folder, env=environment, stderr=errors, **pipes) for _ in range(processes)
            ]
        self._answers()

    def work(self, storage: str, runs: int) -> tuple[float, float, tuple[float, float]]:
        """Wall and CPU time of a study, s; memory, MiB."""
        url = f"sqlite:///{storage}"
        study = new_study(url, runs)
        for child in self._children:
            print(url, file=child.stdin, flush=True)
        answers = self._answers()
        trials = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
        assert len(trials) == runs, self._log.read_text()
        starts = [trial.datetime_start for trial in trials if trial.datetime_start]
        ends = [trial.datetime_complete for trial in trials if trial.datetime_complete]
        wall = (max(ends) - min(starts)).total_seconds()
        cpu, own, peak = (sum(answer[key] for answer in answers) for key in ("cpu", "own", "peak"))
        return wall, cpu, (own, peak)

    def end(self) -> None:
        for child in self._children:
            child.communicate()

    def _answers(self) -> list[dict[str, float]]:
        lines = [child.stdout.readline() for child in self._children if child.stdout]
        assert all(lines), self._log.read_text()
        return [json.loads(line) for line in lines]


class Runs:
    """A kind of study: one arm, seed after seed."""

    queue_only = True

    def __init__(self, settings: dict[str, Any]) -> None:
        from ptycho_mlf.config import RunConfig

        self._config = RunConfig.from_flat(settings)

    def wants_more(self, study: object) -> bool:
        return False

    def run(self, trial: Any, context: object) -> float:
        from ptycho_mlf.runs.stage_a import run_stage_a

        return float(len(run_stage_a(self._config.with_changes(seed=trial.suggest_int("repeat", 0, 1000))).numbers))


def new_study(url: str, runs: int) -> Any:
    import optuna

    from ptycho_mlf.config.study import StudyConfig
    from ptycho_mlf.studies.plan import StudyPlan
    from ptycho_mlf.studies.storage import open_storage
    from ptycho_mlf.studies.study import QUEUED, create_or_continue, enqueue

    plan = StudyPlan("arms", "arms", {"a": {}}, {"seeds": runs})
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = create_or_continue("benchmark", plan, open_storage(StudyConfig(storage=url)), sampler, True)
    enqueue(study, [{"repeat": k} for k in range(runs)])
    study.set_user_attr(QUEUED, True)
    return study


def serve(replicas: int, settings: dict[str, Any]) -> None:
    """Work on every study that is named on stdin, with so many trainings at once."""
    from ptycho_mlf.runs.process_setup import prepare_process

    prepare_process()

    import optuna

    from ptycho_mlf.config.study import StudyConfig
    from ptycho_mlf.studies.cell import Context
    from ptycho_mlf.studies.replicas import work_together
    from ptycho_mlf.studies.storage import open_storage
    from ptycho_mlf.studies.worker import Worker
    from ptycho_mlf.tracking.store import connect

    connect()
    kind: Any = Runs(settings)
    print("{}", flush=True)
    for line in sys.stdin:
        workers: list[Worker] = []
        for _ in range(replicas):
            storage = open_storage(StudyConfig(storage=line.strip()))
            study = optuna.load_study(study_name="benchmark", storage=storage)
            workers.append(Worker(study, storage, kind, Context("benchmark", "", {}), lambda trial: None))
        began = time.process_time()
        if replicas == 1:
            workers[0].work()
        else:
            work_together(workers, threads=1)
        answer = {"cpu": time.process_time() - began, "own": psutil.Process().memory_full_info().uss / 2**20}
        answer["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
