"""What the engine of studies costs: filling the queue, per trial beside the training, and going on with a study.

    python benchmarks/studies.py [--storage postgresql://user@host/database] [--trials 2000] [--workers 1]

Trials do nothing; storage, queue and workers are the real ones, MLflow is not asked. The storage is a new sqlite file
in the temporary folder unless a new, empty database is named. Workers are processes of their own. `resume` is a fresh
process that finds nothing left to do: the whole of it, and the part after its imports.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import optuna
from optuna.samplers import BaseSampler, RandomSampler

from ptycho_mlf.config.study import StudyConfig
from ptycho_mlf.studies.cell import Context
from ptycho_mlf.studies.plan import StudyPlan
from ptycho_mlf.studies.storage import open_storage
from ptycho_mlf.studies.study import QUEUED, create_or_continue, enqueue, open_trials, results
from ptycho_mlf.studies.worker import Worker

NAME = "benchmark"


class NoOp:
    """A kind of study whose trials do nothing."""

    queue_only = True

    def __init__(self, trials: int) -> None:
        self._trials = trials

    def cells(self) -> list[dict[str, Any]]:
        return [{"repeat": k} for k in range(self._trials)]

    def expected(self) -> int:
        return self._trials

    def sampler(self) -> BaseSampler:
        return RandomSampler(seed=0)

    def wants_more(self, study: optuna.Study) -> bool:
        return False

    def conclude(self, study: optuna.Study, found: object, folder: Path) -> list[str]:
        return []

    def run(self, trial: optuna.Trial, context: Context) -> float:
        return float(trial.suggest_int("repeat", 0, 100_000))


@click.command()
@click.option("--storage", default="")
@click.option("--trials", default=2000)
@click.option("--workers", default=1)
@click.option("--part", type=click.Choice(["all", "work"]), default="all", hidden=True)
def main(storage: str, trials: int, workers: int, part: str) -> None:
    if part == "work":
        began = time.perf_counter()
        worker = begin(storage, trials)
        worker.work()
        print(f"{time.perf_counter() - began:.2f}")
        return
    with tempfile.TemporaryDirectory() as folder:
        url = storage or f"sqlite:///{folder}/optuna.db"
        began = time.perf_counter()
        worker = begin(url, trials)
        queued = time.perf_counter()
        print(f"queue: {trials} trials, {queued - began:.1f} s, {1e3 * (queued - began) / trials:.1f} ms each")
        seconds = max(run_together(url, trials, workers))
        print(f"work: {workers} processes, {seconds:.1f} s, {1e3 * seconds / trials:.1f} ms a trial")
        done = [trial.params["repeat"] for trial in results(worker.study)]
        assert sorted(done) == list(range(trials)), "a cell is missing or was run twice"
        assert not open_trials(worker.study)
        began = time.perf_counter()
        [inner] = run_together(url, trials, 1)
        print(f"resume: {time.perf_counter() - began:.1f} s as a process, {inner:.1f} s after its imports")


def begin(url: str, trials: int) -> Worker:
    kind = NoOp(trials)
    storage = open_storage(StudyConfig(storage=url))
    plan = StudyPlan("arms", "arms", {"a": {}}, {"seeds": trials})
    study = create_or_continue(NAME, plan, storage, kind.sampler(), allow_other_code=True)
    enqueue(study, kind.cells())
    study.set_user_attr(QUEUED, True)
    return Worker(study, storage, kind, Context(NAME, "", {}), lambda trial: None)


def run_together(url: str, trials: int, count: int) -> list[float]:
    """Seconds that each of some worker processes took after its imports."""
    command = [sys.executable, __file__, "--part", "work", "--storage", url, "--trials", str(trials)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    outputs = [child.communicate()[0] for child in children]
    assert all(child.returncode == 0 for child in children)
    return [float(text) for text in outputs]


if __name__ == "__main__":
    main()
