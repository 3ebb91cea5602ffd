"""Every declared parameter is live: changing it changes the fingerprint and what a real run computes."""

from __future__ import annotations

import hashlib
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from ptycho_mlf.config import RunConfig, parameters
from ptycho_mlf.config.knob import trait
from ptycho_mlf.runs.dataset import load_run_data
from ptycho_mlf.runs.instruments import build_instruments
from ptycho_mlf.runs.onset_replay import OnsetReplay
from ptycho_mlf.runs.scoring import scored_generators
from ptycho_mlf.runs.stage_a import run_stage_a
from ptycho_mlf.training.fit import fit

COSINE = {"scheduler": "WarmupCosine", "epochs": 4}
PLATEAU = {"scheduler": "ReduceLROnPlateau", "plateau_patience": 0, "learning_rate": 0.05, "epochs": 4}
COLLAPSE = {"scheduler": "Default", "learning_rate": 0.3, "epochs": 60}
STABLE = {"architecture": "stable_hybrid"}
RESNET = {"architecture": "hybrid_resnet", "fno_blocks": 3, "resnet_blocks": 1}
CNN = {"architecture": "cnn", "fno_blocks": 4, "modes": 12}  # The defaults: it has neither blocks nor modes.

# name: (where it is consumed, its other value)
CASES: dict[str, tuple[dict[str, Any], Any]] = {
    "N": ({}, 18),
    "gridsize": ({}, 2),
    "object": ({}, "disks"),
    "size": ({}, 70),
    "nimgs_train": ({}, 2),
    "nimgs_test": ({}, 2),
    "set_phi": ({}, False),
    "nphotons": ({}, 1e4),
    "noise": ({}, "none"),
    "probe": ({}, "disk"),
    "probe_smoothing": ({"probe": "PROBE_FILE"}, 1.0),
    "outer_offset_train": ({}, 10),
    "outer_offset_test": ({}, 16),
    "train_patterns": ({}, 40),
    "val_fraction": ({}, 0.3),
    "val_guard_rows": ({}, 1),
    "geometry_seed": ({}, 3),
    "noise_seed": ({}, 1),
    "split_seed": ({"train_patterns": 40}, 1),
    "architecture": ({}, "fno"),
    "residual": (STABLE, "zero_gamma"),
    "layerscale_init": (STABLE, 1e-2),
    "fno_blocks": ({}, 3),
    "width": ({}, 5),
    "modes": ({}, 3),
    "max_hidden_channels": ({}, 6),
    "input_transform": ({}, "log1p"),
    "output_mode": ({}, "amp_phase"),
    "spectral": ({}, "one_sided"),
    "cnn_blocks": ({"architecture": "fno"}, 1),
    "ffno_weights": ({"architecture": "ffno"}, "per_block"),
    "ffno_gate": ({"architecture": "ffno"}, "per_block"),
    "resnet_blocks": (RESNET, 2),
    "resnet_width": (RESNET, 8),
    "resnet_downsample": (RESNET, "blur_pool"),
    "resnet_skips": (RESNET, "gated_add"),
    "cbam": (CNN, False),
    "probe_big": (CNN, False),
    "cnn_amplitude": (CNN, "sigmoid"),
    "loss": ({}, "amp_mse"),
    "poisson_eps": ({"loss": "poisson"}, 100.0),
    "tv_amp_weight": ({}, 0.1),
    "tv_phase_weight": ({}, 0.1),
    "mean_dev_amp_weight": ({}, 0.1),
    "mean_dev_phase_weight": ({}, 0.1),
    "optimizer": ({}, "sgd"),
    "learning_rate": ({}, 1e-3),
    "momentum": ({"optimizer": "sgd"}, 0.5),
    "weight_decay": ({}, 0.1),
    "decay_exclude_1d": ({"weight_decay": 0.1}, True),
    "beta1": ({}, 0.5),
    "beta2": ({}, 0.9),
    "scheduler": ({}, "Exponential"),
    "lr_warmup_epochs": (COSINE, 2),
    "lr_min_ratio": (COSINE, 0.5),
    "lr_gamma": ({"scheduler": "Exponential"}, 0.5),
    "plateau_factor": (PLATEAU, 0.25),
    "plateau_patience": ({**PLATEAU, "plateau_patience": 2}, 0),
    "plateau_min_lr": (PLATEAU, 0.04),
    "scheduler_interval": ({**COSINE, "lr_warmup_epochs": 1}, "epoch"),
    "clip_algorithm": ({}, "norm"),
    "clip_value": ({"clip_algorithm": "norm"}, 0.01),
    "agc_exclude_head": ({"clip_algorithm": "agc"}, False),
    "epochs": ({}, 3),
    "batch_size": ({}, 7),
    "seed": ({}, 1),
    "precision": ({}, "bf16"),
    "stop_on": (COLLAPSE, "collapse"),
    "keep": ({}, "evidence"),
    "picture_epochs": ({}, 2),
    "activation_epochs": ({}, 1),
    "gradient_stride": ({}, 0),
    "update_stride": ({}, 3),
    "postmortem": ({"optimizer": "sgd", "learning_rate": 30.0}, False),
    "replay": ({"optimizer": "sgd", "learning_rate": 30.0}, "onset"),
    "critical_rate_epochs": ({}, 1),
    "sharpness_epochs": ({}, 1),
    "physics_gain": ({}, "batch_size"),
    "probe_for_model": ({}, "div4"),
    "schedule_in_force": ({}, False),
    "val_source": ({}, "test"),
    "score": ({}, "last"),
    "seed_scope": ({}, "weights"),
}
EXECUTION_ONLY = {"accelerator", "threads", "cache_dir"}


@pytest.fixture(scope="module")
def probe_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("probe") / "probe.npy"
    y, x = np.mgrid[-8:8, -8:8]
    np.save(path, np.exp(-(x**2 + y**2) / 30) * np.exp(0.1j * (x**2 + y**2)))
    return str(path)


def observed(config: RunConfig, folder: Path) -> str:
    """Digest of everything a run computes: data, split, trace, history, weights, reports, and what is scored."""
    data = load_run_data(config)

    class Silent:
        def steps(self, rows: object) -> None: ...

        def epoch(self, row: object) -> None: ...

    pictures: list[bytes] = []
    instruments = build_instruments(config, data, lambda image, key, step: pictures.append(image.tobytes()))
    references = data.references(data.floors(config.training.batch_size))
    onset = OnsetReplay(config, data, folder, folder.with_name(f"{folder.name}-scratch"))
    callbacks = [*instruments, *onset.callbacks]
    result = fit(config, data.train, data.holdout, data.val, folder, Silent(), callbacks, references)
    digest = hashlib.sha256()
    for scan in (data.train, data.test):
        digest.update(scan.content_hash.encode())
    arrays = [data.holdout.train, data.holdout.val, *result.trace.columns.values()]
    arrays += [np.array([astuple(row)[:-1] for row in result.history], object).astype(str)]  # without the seconds
    arrays += [p.detach().numpy() for p in result.generator.parameters()]
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    for instrument in instruments:
        instrument.write(folder)
    onset.write(result.trace, folder)
    digest.update(b"".join(pictures))
    digest.update(",".join(sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))).encode())
    digest.update(",".join(scored_generators(config, result, folder)).encode())
    return digest.hexdigest()


def test_every_parameter_has_a_case():
    declared = {name: field for _, name, field in parameters()}
    assert {name for name, field in declared.items() if trait(field, "execution_only")} == EXECUTION_ONLY
    assert CASES.keys() == declared.keys() - EXECUTION_ONLY


def test_keep_changes_the_fingerprint_and_what_a_run_leaves(store: Path, tiny):
    """It is read after the training, so `observed` does not see it."""
    left: dict[str, set[str]] = {}
    configs = {keep: tiny(keep=keep) for keep in ("all", "evidence")}
    for keep, config in configs.items():
        run_id = run_stage_a(config).run_id
        left[keep] = {item.path for item in MlflowClient().list_artifacts(run_id)}
    assert configs["all"].fingerprint() != configs["evidence"].fingerprint()
    assert {"checkpoints", "reconstruction", "compare.png"} <= left["all"] - left["evidence"]
    assert {"config.json", "trace.parquet", "verdict.json", "metrics.json", "stats.json"} <= left["evidence"]


@pytest.mark.parametrize("name", [name for name in CASES if name != "keep"])
def test_it_changes_the_fingerprint_and_the_run(name: str, tiny, probe_file: str, tmp_path: Path):
    where, other = CASES[name]
    base = tiny(**{key: probe_file if value == "PROBE_FILE" else value for key, value in where.items()})
    changed = base.with_changes(**{name: other})
    assert changed.flat()[name] != base.flat()[name]
    assert changed.fingerprint() != base.fingerprint()
    assert observed(changed, tmp_path / "changed") != observed(base, tmp_path / "base")


def test_execution_changes_neither(tiny, tmp_path: Path):
    base = tiny()
    elsewhere = base.with_changes(threads=1, cache_dir=str(tmp_path / "cache"))
    assert elsewhere.fingerprint() == base.fingerprint()
    assert observed(elsewhere, tmp_path / "changed") == observed(base, tmp_path / "base")
