"""Sweeps of real, tiny trainings: every trial and its runs tell the same story."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import FrozenTrial, TrialState

from ptycho_mlf.config import InputError, RunConfig
from ptycho_mlf.studies.cell import Context
from ptycho_mlf.studies.commands import run_sweep
from ptycho_mlf.studies.study import results
from ptycho_mlf.studies.sweep.search import Sweep
from ptycho_mlf.studies.sweep.sweep_plan import sweep_plan

SMALL = {
    "N": "16",
    "size": "64",
    "object": "disks",
    "outer_offset_train": "12",
    "architecture": "hybrid",
    "fno_blocks": "2",
    "width": "4",
    "modes": "4",
    "epochs": "12",
    "accelerator": "cpu",
}
"""A training that ends healthy at a rate of 1e-2 and crashes at 1e5, in a second."""


@pytest.fixture
def sweep(store: Path, dataset_cache: Path) -> Callable[..., list[FrozenTrial]]:
    def run(**given: str) -> list[FrozenTrial]:
        run_sweep({**SMALL, "cache_dir": str(dataset_cache), "study": "s", "allow_other_code": "true", **given})
        return optuna.load_study(study_name="s", storage="sqlite:///optuna.db").trials

    return run


def children() -> dict[str, Run]:
    client = MlflowClient()
    runs = client.search_runs([found.experiment_id for found in client.search_experiments()])
    return {run.info.run_id: run for run in runs}


def test_trials_runs_and_page_agree(sweep: Callable[..., list[FrozenTrial]], capsys: pytest.CaptureFixture[str]):
    """A crash is complete and never pruned; what was given up has no crash; nothing but validation decides."""
    trials = sweep(learning_rate="1e-2|1e-3|1e-7|1e5", lr_warmup_epochs="0..13", max_trials="6")
    runs = children()
    parent = next(run for run in runs.values() if run.data.tags.get("study.kind") == "sweep")
    fates: dict[str, int] = {}
    for trial in trials:
        assert trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        if "impossible" in trial.user_attrs:
            assert trial.params["lr_warmup_epochs"] >= 12
            assert not trial.user_attrs["runs"]
            fate = "impossible"
        else:
            (row,) = trial.user_attrs["runs"]
            run = runs[row["run_id"]]
            tags = run.data.tags
            assert tags["mlflow.parentRunId"] == parent.info.run_id
            assert (tags["study"], tags["trial"], run.info.status) == ("s", str(trial.number), "FINISHED")
            assert float(run.data.params["learning_rate"]) == trial.params["learning_rate"]
            assert (tags.get("pruned") == "true") == (trial.state == TrialState.PRUNED)
            fate = expected_fate(trial, run)
        fates[fate] = fates.get(fate, 0) + 1
    assert min(fates.get(fate, 0) for fate in ("healthy", "crashed", "given up", "impossible")) > 0

    folder = Path(mlflow.artifacts.download_artifacts(run_id=parent.info.run_id, artifact_path=""))
    found = json.loads((folder / "sweep.json").read_text())
    assert found["counts"] == fates
    assert (folder / "sweep.html").exists()
    healthy = [t for t in trials if t.state == TrialState.COMPLETE and t.constraints["health"] <= 0]
    assert found["best"]["trial"] == max(healthy, key=lambda t: t.value).number
    assert found["best"]["command"] in capsys.readouterr().out
    best = RunConfig.from_flat(found["best"]["settings"])
    assert best.training.learning_rate == 1e-2
    assert best.telemetry.keep == "all"


def expected_fate(trial: FrozenTrial, run: Run) -> str:
    tags, metrics = run.data.tags, run.data.metrics
    if trial.state == TrialState.PRUNED:
        assert tags["verdict.crash"] == "none"
        assert max(trial.intermediate_values) < 12
        return "given up"
    if tags["verdict.crash"] == "true":
        assert (trial.value, trial.constraints["health"]) == (0.0, 1.0)
        return "crashed"
    assert trial.value == pytest.approx(max(0.0, metrics["val/skill_best"]))
    assert (trial.constraints["health"] == 0) == (tags["verdict"] == "healthy")
    return "healthy" if tags["verdict"] == "healthy" else "not healthy"


def test_seeds_are_averaged_and_more_trials_continue(sweep: Callable[..., list[FrozenTrial]]):
    """Two seeds per point; the same command with a larger budget runs only the rest."""
    given: dict[str, Any] = {"learning_rate": "1e-2|8e-3", "seeds": "2", "objective": "val_loss", "epochs": "3"}
    (first,) = sweep(**given, max_trials="1")
    assert [row["seed"] for row in first.user_attrs["runs"]] == [20260128, 20260129]
    metrics = [children()[row["run_id"]].data.metrics for row in first.user_attrs["runs"]]
    # Three epochs stay above a constant's loss: no seed is worth less than that.
    losses = [min(m["val/loss_best"], m["floor/best"]) for m in metrics]
    assert first.value == pytest.approx(-sum(losses) / 2)
    assert len(children()) == 1 + 2
    again = sweep(**given, max_trials="2")
    assert again[0].datetime_complete == first.datetime_complete
    assert len(again) == 2
    with pytest.raises(InputError, match=r"study=s: it exists with other settings: space\.learning_rate"):
        sweep(**{**given, "learning_rate": "1e-2|7e-3"}, max_trials="2")


def test_a_bad_range_leaves_nothing_behind(sweep: Callable[..., list[FrozenTrial]], store: Path):
    with pytest.raises(InputError, match=r"learning_rate=log:1e-1\.\.1e-5: an empty range"):
        sweep(learning_rate="log:1e-1..1e-5")
    assert not (store / "optuna.db").exists()
    assert not children()


def test_a_point_too_many_is_no_result():
    """Two workers may ask for the last point at the same time: the later one ends without a training."""
    plan = sweep_plan({**{k: v for k, v in SMALL.items() if k != "accelerator"}, "width": "3..5", "max_trials": "2"})
    search = Sweep(plan)
    study = optuna.create_study(direction="maximize", sampler=search.sampler())
    first, _, late = (study.ask() for _ in range(3))
    assert not search.wants_more(study)
    with pytest.raises(optuna.TrialPruned):
        search.run(late, Context("s", "no run", {}))
    study.tell(late, state=TrialState.PRUNED)
    assert results(study) == []
    # One that failed makes room again.
    study.tell(first, state=TrialState.FAIL)
    assert search.wants_more(study)
