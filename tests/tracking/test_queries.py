import gc
from collections import Counter
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from ptycho_mlf.config import InputError
from ptycho_mlf.tracking import queries
from ptycho_mlf.tracking.artifacts import fetch_artifacts
from ptycho_mlf.tracking.queries import child_runs, download_artifact, find_run, find_runs, find_studies
from ptycho_mlf.tracking.run_record import RunRecord
from ptycho_mlf.tracking.store import experiment

from ..conftest import Server


@pytest.fixture
def study(store: Path) -> list[str]:
    """A parent, three children (the second failed), in the default experiment, beside a run that is not ours."""
    ours = {"fingerprint": "f"}
    results = store / "results"
    results.mkdir()
    (results / "stats.json").write_text("{}")
    MlflowClient().create_run(experiment())
    with RunRecord.open(name="parent", tags=ours) as parent:
        ids = [parent.run_id]
        for number in range(3):
            with RunRecord.open(
                name=f"child{number}", tags=ours, params={"seed": number}, parent_run_id=parent.run_id
            ) as child:
                ids.append(child.run_id)
                child.log_metrics({"val/skill": number / 2}, step=1)
                child.log_folder(results)
    MlflowClient().set_terminated(ids[2], "FAILED")
    return ids


def test_runs_of_ours_oldest_first_over_pages(study: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(queries, "_PAGE", 2)
    runs = find_runs()
    assert [run.run_id for run in runs] == study
    last = runs[-1]
    assert (last.name, last.status, last.params, last.parent) == ("child2", "FINISHED", {"seed": "2"}, study[0])
    assert (last.metrics, last.tags["fingerprint"]) == ({"val/skill": 1.0}, "f")
    assert last.start_time == pytest.approx(MlflowClient().get_run(last.run_id).info.start_time / 1000)


def test_the_garbage_collector_is_as_before_after_a_question(study: list[str]):
    for wanted in (True, False):
        (gc.enable if wanted else gc.disable)()
        try:
            assert len(find_runs()) == len(study)
            with pytest.raises(MlflowException):
                list(queries.search([experiment()], "no filter"))
            assert gc.isenabled() is wanted
        finally:
            gc.enable()


def test_selections(study: list[str]):
    parent, first, second, third = study
    assert [run.run_id for run in child_runs(parent)] == [first, second, third]
    assert [run.run_id for run in find_runs(parent=parent, statuses=["FINISHED"])] == [first, third]
    assert [run.run_id for run in find_runs(run_ids=[third, first])] == [third, first]
    assert find_runs("ptycho_mlf", statuses=["RUNNING"]) == []
    assert child_runs(first) == []


def test_the_beginning_of_an_id_is_enough(study: list[str], monkeypatch: pytest.MonkeyPatch):
    parent, first, *_ = study
    assert [run.run_id for run in find_runs(run_ids=[first[:8]])] == [first]
    assert find_run(parent[:8]).run_id == parent
    assert [run.run_id for run in child_runs(parent[:8])] == study[1:]
    MlflowClient().delete_run(first)
    with pytest.raises(InputError, match=f"run {first[:8]}: there is none"):
        find_run(first[:8])
    for text in (parent[:7], parent[:7] + "%", parent[:7] + "_", f"{parent}0"):
        with pytest.raises(InputError, match="there is none with this id"):
            find_run(text)


def test_a_beginning_of_several_ids(study: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(queries, "_SHORTEST_ID", 1)
    client = MlflowClient()
    for _ in range(13):
        client.create_run("0")
    ids = [run.info.run_id for run in client.search_runs(["0", experiment()])]
    [(digit, count)] = Counter(run_id[0] for run_id in ids).most_common(1)  # Of 18 hexadecimal ids.
    with pytest.raises(InputError, match=f"run {digit}: {count} runs have ids that begin so; give more of it"):
        find_run(digit)


def test_nothing_there(store: Path):
    assert find_runs() == []
    assert MlflowClient().get_experiment_by_name("ptycho_mlf") is None, "asking makes no experiment"
    with pytest.raises(InputError, match="experiment nope: there is none with this name"):
        find_runs("nope")
    with pytest.raises(InputError, match="run nope: there is none with this id"):
        find_runs(run_ids=["nope"])
    with pytest.raises(InputError, match="run nope: there is none"):
        child_runs("nope")
    foreign = MlflowClient().create_run("0").info.run_id
    with pytest.raises(InputError, match=f"run {foreign}: it was not made by ptycho_mlf"):
        find_runs(run_ids=[foreign])


def test_artifacts(study: list[str]):
    assert download_artifact(study[1], "stats.json").read_text() == "{}"
    with pytest.raises(InputError, match=f"run {study[1]}: no artifact nope.json"):
        download_artifact(study[1], "nope.json")
    with pytest.raises(InputError, match="run nope: no artifact"):
        download_artifact("nope", "stats.json")


def test_a_study_is_found_by_its_name_in_any_experiment_newest_first(study: list[str]):
    kind = {"study": "it's mine", "study.kind": "arms"}
    ids: list[str] = []
    for where in ("ptycho_mlf", "elsewhere"):
        with RunRecord.open(name="study", tags=kind, experiment_name=where) as parent:
            ids.append(parent.run_id)
            with RunRecord.open(name="child", tags={"study": kind["study"], "fingerprint": "f"}):
                pass
    MlflowClient().update_run(ids[0], name="first")
    assert [run.run_id for run in find_studies("it's mine")] == ids[::-1]
    assert find_studies("nothing") == []
    assert find_run(ids[0]).name == "first"
    with pytest.raises(InputError, match="run nope: there is none with this id"):
        find_run("nope")


def gather(ids: list[str], scratch: Path) -> dict[tuple[str, str], str]:
    files = fetch_artifacts([find_run(run_id) for run_id in ids], ["stats.json", "deep/er.txt", "nope.json"], scratch)
    return {key: path.read_text() for key, path in files.items()}


def test_artifacts_of_mfind_runs_are_read_in_place(study: list[str], tmp_path: Path):
    assert gather(study, tmp_path / "unused") == {(run_id, "stats.json"): "{}" for run_id in study[1:]}
    assert not (tmp_path / "unused").exists()


def test_artifacts_of_mfind_runs_come_from_a_server(server: Server, tmp_path: Path):
    results = tmp_path / "results"
    (results / "deep").mkdir(parents=True)
    ids: list[str] = []
    for number in range(3):
        (results / "stats.json").write_text(str(number))
        (results / "deep" / "er.txt").write_text("x")
        with RunRecord.open(name="run", tags={"fingerprint": "f"}) as record:
            record.log_folder(results)
            ids.append(record.run_id)
    expected = {(run_id, "stats.json"): str(number) for number, run_id in enumerate(ids)}
    assert gather(ids, tmp_path / "scratch") == expected | {(run_id, "deep/er.txt"): "x" for run_id in ids}
