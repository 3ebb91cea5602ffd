"""A threshold search of real, tiny trainings that all crash: range test, trials, end, what is left and said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from ptycho_mlf.studies.commands import run_threshold
from ptycho_mlf.tracking.queries import download_artifact, find_studies

from .test_engine import HERE, SMALL

CRASHING = {"optimizer": "sgd", "lr_low": "10", "lr_high": "1000", "max_trials": "2"}


def test_what_a_search_of_crashing_trainings_leaves(
    store: Path, dataset_cache: Path, capsys: pytest.CaptureFixture[str]
):
    run_threshold({**SMALL, **HERE, **CRASHING, "cache_dir": str(dataset_cache)})
    [parent] = find_studies("s")
    children = MlflowClient().search_runs([parent.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.run_id}'")
    roles = [run.data.tags.get("study.role", "") for run in children]
    assert sorted(roles) == ["", "", "range_test"]
    ramp = next(run for run in children if "study.role" in run.data.tags)
    assert (ramp.data.params["scheduler"], float(ramp.data.params["learning_rate"])) == ("Ramp", 1000.0)
    found = json.loads(download_artifact(parent.run_id, "thresholds.json").read_text())["arms"]["hybrid"]
    assert (found["runs"], found["crashes"], found["bound"], found["use_lr"]) == (2, 2, "all_crash", None)
    # Report and search tell of the same range: that which was searched, not that which was tried.
    sentence = "2 of 2 runs crashed at rates from 10 to 1e+03"
    assert any(sentence in text for text in found["sentences"])
    assert sentence in download_artifact(parent.run_id, "summary.md").read_text()
    run = MlflowClient().get_run(parent.run_id).data
    assert run.metrics == {"runs/hybrid": 2.0, "crashed/hybrid": 2.0}
    assert (run.tags["study.max_trials"], run.tags["study.arms"], run.tags["study.lr_high"]) == ("2", "hybrid", "1000")
    assert capsys.readouterr().out.count(sentence) == 1
