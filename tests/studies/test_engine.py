"""Studies of real, tiny trainings in this process: what is run, what is continued, what is refused."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path

import mlflow
import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from ptycho_mlf.config import InputError
from ptycho_mlf.config.study import StudyConfig
from ptycho_mlf.studies import arms_study
from ptycho_mlf.studies.commands import join, resume, run_arms
from ptycho_mlf.studies.compose import arms_plan
from ptycho_mlf.studies.engine import StudyIncompleteError
from ptycho_mlf.studies.recovery import recover
from ptycho_mlf.studies.storage import open_storage
from ptycho_mlf.studies.study import plan_of
from ptycho_mlf.tracking.environment import process_tags
from ptycho_mlf.tracking.store import experiment, shown_url

from .test_worker import forget_heartbeats

SMALL = {
    "N": "16",
    "size": "64",
    "outer_offset_train": "12",
    "architecture": "hybrid",
    "fno_blocks": "2",
    "width": "4",
    "modes": "4",
    "epochs": "1",
    "keep": "evidence",
    "picture_epochs": "0",
    "gradient_stride": "0",
    "accelerator": "cpu",
}
HERE = {"study": "s", "allow_other_code": "true"}


@pytest.fixture
def arms(store: Path, dataset_cache: Path) -> Callable[..., None]:
    """Runs `arms` with some parameters changed."""

    def run(**given: str) -> None:
        run_arms("arms", {**SMALL, "cache_dir": str(dataset_cache), **HERE, "seeds": "1", **given})

    return run


def runs() -> list[Run]:
    """Oldest first."""
    client = MlflowClient()
    everywhere = [found.experiment_id for found in client.search_experiments()]
    return sorted(client.search_runs(everywhere), key=lambda run: run.info.start_time)


def parent_and_children() -> tuple[Run, list[Run]]:
    [parent] = [run for run in runs() if run.data.tags.get("study.kind") == "arms"]
    children = [run for run in runs() if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    return parent, children


def test_a_study_is_continued_and_what_has_a_result_is_not_run_again(arms, capsys: pytest.CaptureFixture[str]):
    arms(optimizer="adam|sgd")
    parent, first = parent_and_children()
    assert {(run.data.tags["arm"], run.data.tags["trial"]) for run in first} == {
        ("hybrid-adam", "0"),
        ("hybrid-sgd", "1"),
    }
    assert all(run.data.tags["study"] == "s" and run.info.status == "FINISHED" for run in first)
    assert parent.info.status == "FINISHED"
    left = {file.path for file in MlflowClient().list_artifacts(parent.info.run_id)}
    assert {"arms.json", "report.html", "summary.md"} <= left
    assert "study s: 0 results there, 2 trials queued" in capsys.readouterr().out

    arms(optimizer="adam|sgd")
    resume(HERE)
    join(HERE)
    assert [run.info.run_id for run in parent_and_children()[1]] == [run.info.run_id for run in first]
    assert len(runs()) == 3, "going on with a study makes no run of its own on a direct call"
    capsys.readouterr()

    arms(optimizer="adam|sgd", seeds="2")
    parent, now = parent_and_children()
    assert "study s: 2 results there, 2 trials queued" in capsys.readouterr().out
    assert len(now) == 4
    cells = {(run.data.tags["arm"], int(run.data.tags["seed"]) - 20260128) for run in now}
    assert cells == {(arm, k) for arm in ("hybrid-adam", "hybrid-sgd") for k in (0, 1)}
    assert parent.info.status == "FINISHED"
    words = shlex.split(parent.data.tags["command"])
    assert words[:3] == ["python", "-m", "entrypoints.arms"]
    given = dict(zip((word.removeprefix("--") for word in words[3::2]), words[4::2], strict=True))
    # Nothing of where it was computed, and no default.
    assert set(given) == set(SMALL) - {"accelerator"} | {"optimizer", "seeds"}
    wanted = {name: value for name, value in SMALL.items() if name != "accelerator"}
    assert arms_plan("arms", given) == arms_plan("arms", {**wanted, "optimizer": "adam|sgd", "seeds": "2"})
    assert parent.data.tags["command"] in (Path(parent.info.artifact_uri) / "summary.md").read_text()


def test_what_is_refused_is_refused_in_one_line(arms, monkeypatch: pytest.MonkeyPatch):
    arms()
    parent, _ = parent_and_children()

    def refused(match: str, act: Callable[[], None]) -> None:
        with pytest.raises(InputError, match=match) as caught:
            act()
        assert "\n" not in str(caught.value)

    there = r"study=s: it exists with other settings: arms.hybrid.epochs is 1 there, 2 here; name another study"
    refused(there, lambda: arms(epochs="2"))
    refused(r"arms.hybrid.loss is 'mae' there, 'poisson' here", lambda: arms(loss="poisson"))
    refused(r"study=t: not in sqlite:///.*optuna.db; there: s$", lambda: resume({**HERE, "study": "t"}))
    refused(r"study=t: not in", lambda: join({**HERE, "study": "t"}))
    refused(r"study=: must name one of those in sqlite:///.*optuna.db: s$", lambda: join({**HERE, "study": ""}))
    refused("heartbeat=1: study s runs with heartbeat=20; pass that", lambda: join({**HERE, "heartbeat": "1"}))
    away = {**HERE, "storage": "postgresql://lab:secret@127.0.0.1:1/x"}
    with pytest.raises(InputError, match=r"storage=.*lab:\*\*\*@127.0.0.1:1/x: cannot be used \(.*refused") as caught:
        resume(away)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    for act in (resume, join):
        refused(
            r"storage=sqlite:///.*mistyped.db: there is no such file; name the storage that the study was begun with",
            lambda act=act: act({**HERE, "storage": "sqlite:///mistyped.db"}),
        )
    assert not list(Path().glob("mistyped*"))
    refused(r"storage=optuna.db: must be a database URL", lambda: resume({**HERE, "storage": "optuna.db"}))

    monkeypatch.setattr("ptycho_mlf.studies.study.code_version", lambda: "9.9+other")
    other = r"study=s: begun by code .*, this is 9.9\+other; check that version out, or pass allow_other_code=true"
    refused(other, lambda: join({"study": "s"}))
    refused(other, lambda: arms(allow_other_code="false"))
    for version in ("9.9+other", "9.8+older"):
        monkeypatch.setattr("ptycho_mlf.studies.study.code_version", lambda version=version: version)
        join(HERE)
    monkeypatch.setattr("ptycho_mlf.studies.study.code_version", lambda: "9.7+oldest")
    refused(
        r"study=s: begun by code .*, worked on by 9.8\+older, 9.9\+other, this is 9.7\+oldest; check that version out",
        lambda: join({"study": "s"}),
    )

    MlflowClient().update_run(parent.info.run_id, status="RUNNING")
    refused(
        rf"study=s: process {os.getpid()} on .* conducts it; help it with `worker`, or end it first",
        lambda: arms(seeds="9"),
    )
    study = optuna.load_study(study_name="s", storage="sqlite:///optuna.db")
    assert plan_of(study).settings == {"seeds": 1}, "what was refused changes nothing"
    running = study.ask()
    refused("heartbeat=1: study s runs with heartbeat=20; pass that", lambda: resume({**HERE, "heartbeat": "1"}))
    study.tell(running, state=optuna.trial.TrialState.FAIL)
    MlflowClient().set_tag(parent.info.run_id, "pid_created", "1000000000.00")
    arms()
    assert parent_and_children()[0].info.status == "FINISHED"


def test_a_study_without_its_plan_or_run_was_never_begun(store: Path):
    """Its first process died in between."""
    study = optuna.create_study(study_name="s", storage="sqlite:///optuna.db", direction="maximize")
    with pytest.raises(InputError, match="study=s: it has not begun; start it with its own entry point"):
        resume(HERE)
    study.set_user_attr("code", "1")
    with pytest.raises(InputError, match="study=s: it has not begun"):
        join(HERE)


def test_a_study_that_was_created_and_no_more_is_begun(arms):
    optuna.create_study(study_name="s", storage="sqlite:///optuna.db", direction="maximize").set_user_attr("code", "1")
    arms(allow_other_code="false")
    assert parent_and_children()[0].info.status == "FINISHED"


def test_a_password_of_the_tracking_store_is_kept_from_the_study(arms, monkeypatch: pytest.MonkeyPatch):
    arms()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")  # What this process itself has chosen.
    study = optuna.load_study(study_name="s", storage="sqlite:///optuna.db")
    assert study.user_attrs["tracking_uri"].startswith("sqlite:///")
    study.set_user_attr("tracking_uri", shown_url("https://lab:secret@mlflow"))
    with pytest.raises(InputError, match=r"set MLFLOW_TRACKING_URI to https://lab:\*\*\*@mlflow with its password"):
        join(HERE)


def test_a_worker_that_finds_another_tracking_store_names_the_right_one(arms, monkeypatch: pytest.MonkeyPatch):
    arms()
    home = mlflow.get_tracking_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    for act in (lambda: join(HERE), lambda: resume(HERE), arms):
        with pytest.raises(InputError, match=f"not in sqlite:.*elsewhere.db; set MLFLOW_TRACKING_URI to {home}"):
            act()


def test_errors_of_the_program_end_the_study_and_are_told(arms, monkeypatch: pytest.MonkeyPatch):
    run_cell = arms_study.run_cell

    def fail(trial: optuna.Trial, *arguments: object):
        if trial.params["repeat"] in broken:
            raise ZeroDivisionError(f"seed {trial.params['repeat']}")
        return run_cell(trial, *arguments)

    monkeypatch.setattr(arms_study, "run_cell", fail)
    broken = {1}
    with pytest.raises(StudyIncompleteError, match=r"study s: 1 cells have no result, such as .*'repeat': 1"):
        arms(seeds="2")
    parent, [child] = parent_and_children()
    assert (parent.info.status, child.info.status) == ("FAILED", "FINISHED")
    assert "1 cells have no result" in parent.data.tags["failure"]
    assert mlflow.artifacts.download_artifacts(run_id=parent.info.run_id, artifact_path="report.html")

    broken = {1, 2, 3, 4}
    with pytest.raises(ZeroDivisionError, match="seed 3"):
        arms(seeds="5")
    parent, children = parent_and_children()
    assert parent.data.tags["failure"] == "ZeroDivisionError: seed 3"
    assert len(children) == 1
    broken = set()
    resume(HERE)
    parent, children = parent_and_children()
    assert (parent.info.status, len(children)) == ("FINISHED", 5)
    assert "failure" not in parent.data.tags


def test_a_finished_run_does_not_count_if_its_trial_was_given_to_another(arms, monkeypatch: pytest.MonkeyPatch):
    """Its worker gave no sign of life for too long, and comes back with a result."""
    run_cell, lost = arms_study.run_cell, list[str]()

    def lose_first(*arguments: object):
        outcome = run_cell(*arguments)
        if not lost:
            lost.append(outcome.run_id)
            storage = open_storage(StudyConfig())
            forget_heartbeats(storage, hours=4)
            recover(optuna.load_study(study_name="s", storage=storage), storage)
        return outcome

    monkeypatch.setattr(arms_study, "run_cell", lose_first)
    arms(heartbeat="3600")
    parent, children = parent_and_children()
    fates = {run.info.run_id: (run.info.status, run.data.tags.get("failure")) for run in children}
    assert fates.pop(lost[0]) == ("KILLED", "the worker of trial 0 gave no sign of life")
    assert list(fates.values()) == [("FINISHED", None)]
    assert parent.info.status == "FINISHED"


def test_runs_of_the_launcher_end_and_are_no_studies(arms, monkeypatch: pytest.MonkeyPatch):
    """`mlflow run` begins one for each command: the first becomes the study, others point to it."""

    def launched() -> str:
        run_id = MlflowClient().create_run(experiment(), tags=process_tags()).info.run_id
        monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
        return run_id

    first = launched()
    arms()
    again, worker = launched(), None
    resume(HERE)
    worker = launched()
    join(HERE)
    parent, children = parent_and_children()
    assert parent.info.run_id == first
    assert len(children) == 1
    client = MlflowClient()
    continued, joined = client.get_run(again), client.get_run(worker)
    assert {run.info.status for run in (parent, continued, joined)} == {"FINISHED"}
    assert (continued.info.run_name, continued.data.tags["study.continues"]) == ("continues s", first)
    assert (joined.info.run_name, joined.data.tags["study.kind"]) == ("worker of s", "worker")
    assert "mlflow.parentRunId" not in {**continued.data.tags, **joined.data.tags}
