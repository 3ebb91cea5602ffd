"""Whole runs against real stores: what they leave behind, and how they end."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import jsonschema
import mlflow
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from mlflow import MlflowClient
from safetensors.numpy import load_file

from ptycho_mlf.config import InputError, RunConfig
from ptycho_mlf.evaluation.evaluate import evaluate
from ptycho_mlf.runs import stage_a
from ptycho_mlf.runs.dataset import load_run_data
from ptycho_mlf.runs.live_metrics import SERIES
from ptycho_mlf.runs.stage_a import run_stage_a
from ptycho_mlf.telemetry import buckets
from ptycho_mlf.tracking.signals import Terminated
from ptycho_mlf.training.recorder import EpochRow

from ..conftest import Server

FILES = {
    "config.json",
    "history.json",
    "metrics.json",
    "trace.parquet",
    "verdict.json",
    "stats.json",
    "summary.md",
    "compare.png",
    "history.png",
    "checkpoints/best.ckpt",
    "checkpoints/last.ckpt",
    "reconstruction/best.npz",
    "reconstruction/last.npz",
    "reconstruction/frc.png",
}


def files_of(run_id: str) -> Path:
    return Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=""))


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def strict_json(path: Path):
    def refuse(constant: str):
        raise AssertionError(f"{path.name}: {constant} is not JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_a_run_leaves_everything_behind(store: Path, tiny: Callable[..., RunConfig]):
    config = tiny(clip_algorithm="norm", epochs=3)
    outcome = run_stage_a(config, arm="tests/arm")
    run = MlflowClient().get_run(outcome.run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "tests/arm-adam-lr0.003-s20260128"
    assert run.data.tags["verdict"] == outcome.verdict.name
    assert run.data.tags["fingerprint"] == config.fingerprint()
    assert run.data.tags["arm"] == "tests/arm"
    assert run.data.tags["seed"] == "20260128"
    for name, value in config.flat().items():
        assert run.data.params[name] == (str(value).lower() if isinstance(value, bool) else str(value))
    assert run.data.params["resolved/clip_value"] == "1.0"
    assert run.data.params["resolved/train_patterns"] == "72"
    hash_ = run.data.tags["dataset_hash"]
    assert [(i.dataset.name, i.dataset.digest) for i in run.inputs.dataset_inputs] == [
        (f"lines-N16-{role}", hash_) for role in ("training", "validation", "test")
    ]

    folder = files_of(outcome.run_id)
    assert names(folder) >= FILES
    documents = {name: strict_json(folder / name) for name in FILES if name.endswith(".json")}
    assert RunConfig.from_flat(documents["config.json"]["parameters"]) == config
    assert documents["verdict.json"]["name"] == outcome.verdict.name
    assert "nan" not in (folder / "summary.md").read_text()
    assert run.data.tags["mlflow.note.content"] == (folder / "summary.md").read_text()

    trace = pq.read_table(folder / "trace.parquet").to_pydict()
    assert trace["step"] == list(range(15))
    logged = MlflowClient().get_metric_history(outcome.run_id, "train/loss")
    assert {(m.step, m.value) for m in logged} == set(zip(trace["step"], trace["loss"], strict=True))
    epochs = documents["history.json"]["epochs"]
    assert [row["epoch"] for row in epochs] == [1, 2, 3]
    assert [m.value for m in MlflowClient().get_metric_history(outcome.run_id, "val/loss")] == [
        row["val_loss"] for row in epochs
    ]
    best = documents["stats.json"]["val"]["best"]
    assert best == min(row["val_loss"] for row in epochs)
    floor = documents["metrics.json"]["floors"]["best"]
    assert run.data.metrics["val/skill_best"] == pytest.approx(1 - best / floor)
    # What has no place on the axis of steps is at 0, where the UI draws bars and no lone dots.
    assert [m.step for m in MlflowClient().get_metric_history(outcome.run_id, "val/skill_best")] == [0]
    assert run.data.metrics["test/best/ssim_amp"] == documents["metrics.json"]["best"]["metrics"]["ssim_amp"]
    assert {
        "test/last/ssim_amp",
        "test/constant/mae_amp",
        "floor/best",
        "grad_norm/run_p99",
    } <= run.data.metrics.keys()


@pytest.mark.parametrize(
    "changes",
    [{}, {"architecture": "stable_hybrid", "output_mode": "amp_phase"}, {"optimizer": "sgd", "learning_rate": 1e5}],
)
def test_stats_and_history_have_one_schema_for_every_arm(changes: dict, store: Path, tiny: Callable[..., RunConfig]):
    folder = files_of(run_stage_a(tiny(epochs=12, **changes)).run_id)
    for name in ("stats", "history"):
        schema = json.loads(files("ptycho_mlf.telemetry").joinpath(f"schemas/{name}.schema.json").read_text())
        jsonschema.Draft202012Validator(schema).validate(strict_json(folder / f"{name}.json"))


def test_no_value_of_the_end_falls_into_a_series(store: Path, tiny: Callable[..., RunConfig], monkeypatch):
    """Above a thousand steps every series has a second one, `<name>_median`: nothing else may use its name."""
    monkeypatch.setattr(buckets, "POINTS", 4)
    run_id = run_stage_a(tiny(clip_algorithm="norm", update_stride=1)).run_id
    for name in SERIES.values():
        history = MlflowClient().get_metric_history(run_id, f"{name}_median")
        assert len({m.step for m in history}) == len(history) == 4


def test_the_logged_model_reproduces_the_scored_reconstruction(store: Path, tiny: Callable[..., RunConfig]):
    """Amplitudes in, objects out, through MLflow; scored again it gives the recorded numbers. No pickle inside."""
    config = tiny()
    run_id = run_stage_a(config).run_id
    model = mlflow.pyfunc.load_model(f"runs:/{run_id}/model")
    test = load_run_data(config).test
    parts = model.predict(test.amplitude_nCNN)
    assert parts.shape == (25, 1, 16, 16, 2)
    again = evaluate(parts[..., 0] + 1j * parts[..., 1], test)
    recorded = strict_json(files_of(run_id) / "metrics.json")["best"]["metrics"]
    assert again.metrics["mae_amp"] == pytest.approx(recorded["mae_amp"], rel=1e-5)
    folder = Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/model"))
    assert not [name for name in names(folder) if name.endswith((".pkl", ".pickle", ".pt", ".pth"))]
    weights = load_file(folder / "artifacts" / "weights.safetensors")
    assert all(np.isfinite(weight).all() for weight in weights.values())


def test_a_crash_is_a_finished_run_with_a_verdict(store: Path, tiny: Callable[..., RunConfig]):
    outcome = run_stage_a(tiny(optimizer="sgd", learning_rate=1e5, epochs=30))
    run = MlflowClient().get_run(outcome.run_id)
    assert (run.info.status, run.data.tags["verdict"]) == ("FINISHED", "nonfinite")
    folder = files_of(outcome.run_id)
    onset = strict_json(folder / "verdict.json")["onset_step"]
    assert run.data.tags["verdict.onset_step"] == str(onset)
    assert len(pq.read_table(folder / "trace.parquet")) == onset + 1
    assert all(math.isfinite(value) for value in run.data.metrics.values())
    for name in ("stats.json", "metrics.json", "history.json", "config.json"):
        strict_json(folder / name)


@pytest.mark.parametrize(("error", "status"), [(Terminated(signal.SIGTERM), "KILLED"), (OSError("disk"), "FAILED")])
def test_what_was_trained_is_kept_when_the_scoring_ends_early(
    error: BaseException, status: str, store: Path, tiny: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
):
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(stage_a, "score", fail)
    with pytest.raises(type(error)):
        run_stage_a(tiny())
    client = MlflowClient()
    (run,) = client.search_runs([found.experiment_id for found in client.search_experiments()])
    assert run.info.status == status
    kept = {"config.json", "trace.parquet", "history.json", "checkpoints/best.ckpt", "checkpoints/last.ckpt"}
    assert names(files_of(run.info.run_id)) >= kept


def test_the_threads_of_a_run_are_recorded_and_given_back(store: Path, tiny: Callable[..., RunConfig]):
    before = torch.get_num_threads()
    run = MlflowClient().get_run(run_stage_a(tiny(threads=before + 1)).run_id)
    assert run.data.params["resolved/threads"] == str(before + 1)
    assert torch.get_num_threads() == before


def test_only_the_last_weights_are_scored_when_asked(store: Path, tiny: Callable[..., RunConfig]):
    run_id = run_stage_a(tiny(score="last")).run_id
    metrics = MlflowClient().get_run(run_id).data.metrics
    assert "test/last/mae_amp" in metrics
    assert not [name for name in metrics if name.startswith("test/best/")]
    assert "reconstruction/best.npz" not in names(files_of(run_id))


@pytest.mark.parametrize(
    "changes", [{"gridsize": 2}, {"set_phi": False}, {"val_source": "test"}, {"precision": "bf16"}]
)
def test_other_kinds_of_runs_end_well_too(changes: dict, store: Path, tiny: Callable[..., RunConfig]):
    run_id = run_stage_a(tiny(**changes)).run_id
    assert MlflowClient().get_run(run_id).info.status == "FINISHED"
    assert names(files_of(run_id)) >= FILES


def test_a_run_is_recorded_over_http_as_well(server: Server, tiny: Callable[..., RunConfig]):
    run_id = run_stage_a(tiny()).run_id
    run = MlflowClient().get_run(run_id)
    assert run.info.status == "FINISHED"
    assert names(files_of(run_id)) >= FILES
    assert mlflow.pyfunc.load_model(f"runs:/{run_id}/model").predict(np.ones((2, 1, 16, 16), np.float32)).shape[-1] == 2


def test_wrong_input_leaves_no_run(store: Path, tiny: Callable[..., RunConfig]):
    probe = store / "probe.npy"
    np.save(probe, np.full((16, 16), np.nan + 0j))
    with pytest.raises(InputError, match="probe"):
        run_stage_a(tiny(probe=str(probe)))
    blocked = store / "file"
    blocked.touch()
    with pytest.raises(InputError, match="cache"):
        run_stage_a(tiny(cache_dir=str(blocked / "cache")))
    client = MlflowClient()
    assert client.search_runs([e.experiment_id for e in client.search_experiments()]) == []


OUT_OF_MEMORY = """
import resource, sys
from ptycho_mlf.config import RunConfig
from ptycho_mlf.runs import stage_a
from ptycho_mlf.training.instruments import Instrument

def limit(size):
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))

class Squeeze(Instrument):
    '''After the first epoch the process may not grow any more; once the allocation has failed it may again.'''

    def on_train_epoch_end(self, trainer, pl_module):
        pages = int(open('/proc/self/statm').read().split()[0])
        limit(pages * resource.getpagesize())

    def on_exception(self, trainer, pl_module, exception):
        print(exception, file=sys.stderr)
        limit(resource.RLIM_INFINITY)

    def write(self, folder):
        pass

stage_a.build_instruments = lambda config, data, show: [Squeeze()]
config = RunConfig.from_flat(%r)
print(stage_a.run_stage_a(config).run_id)
"""


def test_running_out_of_memory_is_a_finished_run_with_a_verdict(store: Path, tiny: Callable[..., RunConfig], python):
    """A real failure of torch's allocator: the batch needs more than the operating system still gives."""
    config = tiny(architecture="fno_vanilla", fno_blocks=1, width=32, batch_size=72, N=32, size=96, epochs=9)
    child = python(OUT_OF_MEMORY % config.flat())
    output, errors = child.communicate(timeout=600)
    assert child.returncode == 0, errors
    assert "DefaultCPUAllocator" in errors
    run = MlflowClient().get_run(output.split()[-1])
    assert (run.info.status, run.data.tags["verdict"], run.data.tags["verdict.crash"]) == ("FINISHED", "oom", "none")
    folder = files_of(run.info.run_id)
    verdict = strict_json(folder / "verdict.json")
    steps = len(pq.read_table(folder / "trace.parquet"))
    epochs = strict_json(folder / "history.json")["epochs"]
    assert 0 < len(epochs) < 9
    assert verdict["onset_step"] == steps == epochs[-1]["step"]
    assert verdict["legacy"]["crash"] is True
    assert (folder / "checkpoints" / "last.ckpt").exists()
    assert "oom" in (folder / "summary.md").read_text()


def test_a_final_collapse_ends_a_training_early_when_asked(
    store: Path, tiny: Callable[..., RunConfig], capsys: pytest.CaptureFixture[str]
):
    collapse = {"scheduler": "Default", "learning_rate": 0.3, "epochs": 60}
    outcome = run_stage_a(tiny(**collapse, stop_on="collapse"))
    run = MlflowClient().get_run(outcome.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["verdict"] in ("flat_amplitude", "input_independent")
    assert run.data.tags["verdict.crash"] == run.data.tags["stopped_early"] == "true"
    document = strict_json(files_of(outcome.run_id) / "verdict.json")
    assert document["stopped_early"] is True
    assert document["crash"] is True
    assert document["legacy"]["crash"] is True
    epochs = strict_json(files_of(outcome.run_id) / "history.json")["epochs"]
    assert 100 < epochs[-1]["step"] < 300
    # The bar told it all along.
    assert (
        f"verdict {'flat' if outcome.verdict.name == 'flat_amplitude' else 'same_picture'}" in capsys.readouterr().err
    )
    assert "test/last/ssim_amp" in run.data.metrics


def test_a_run_given_up_for_others_is_pruned_and_counts_neither_way(store: Path, tiny: Callable[..., RunConfig]):
    told: list[tuple[int, float]] = []

    def second(row: EpochRow, skill: float) -> bool:
        told.append((row.epoch, skill))
        return row.epoch == 2

    outcome = run_stage_a(tiny(epochs=4, learning_rate=1e-3), prune=second)
    run = MlflowClient().get_run(outcome.run_id)
    assert outcome.pruned
    assert run.info.status == "FINISHED"
    assert (run.data.tags["pruned"], run.data.tags["verdict.crash"]) == ("true", "none")
    assert "stopped_early" not in run.data.tags
    assert strict_json(files_of(outcome.run_id) / "verdict.json")["pruned"] is True
    skills = MlflowClient().get_metric_history(outcome.run_id, "val/skill")
    assert [skill for _, skill in told] == [m.value for m in skills]
    assert [epoch for epoch, _ in told] == [1, 2]


def test_a_crash_is_never_pruned(store: Path, tiny: Callable[..., RunConfig]):
    """A training that was given up on after it had collapsed keeps its verdict, and is marked as ended early."""
    collapse = {"scheduler": "Default", "learning_rate": 0.3, "epochs": 60}
    outcome = run_stage_a(tiny(**collapse), prune=lambda row, skill: row.epoch == 20)
    tags = MlflowClient().get_run(outcome.run_id).data.tags
    assert outcome.verdict.name in ("flat_amplitude", "input_independent")
    assert not outcome.pruned
    assert "pruned" not in tags
    assert tags["verdict.crash"] == tags["stopped_early"] == "true"
