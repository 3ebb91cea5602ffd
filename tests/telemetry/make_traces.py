"""Train the small runs behind the labelled traces of `traces/`. Tests only read those; this is how they were made.

    OMP_NUM_THREADS=1 python tests/telemetry/make_traces.py train FOLDER
    python tests/telemetry/make_traces.py pack FOLDER
    python tests/telemetry/make_traces.py construct

`train` writes one JSON file and one picture per run (loss, contrast, and what the last weights predict), which a person
looks at to label the run in `traces/labels.json`; runs that are there already are left alone. `pack` puts the labelled
ones into `traces/trained.json.gz`, `construct` makes edge cases from one of them. Lines object, N 32, width 16, modes
8, 3 blocks, 512 train patterns: 32 steps an epoch.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch

from ptycho_mlf.config import RunConfig
from ptycho_mlf.runs.dataset import RunData, load_run_data
from ptycho_mlf.telemetry.trace import COLUMNS
from ptycho_mlf.training.fit import TrainingResult, fit

HERE = Path(__file__).parent / "traces"
SMALL = {"N": 32, "width": 16, "modes": 8, "fno_blocks": 3, "train_patterns": 512, "scheduler": "Default", "epochs": 4}
SMALL |= {"accelerator": "cpu", "threads": 1, "architecture": "hybrid"}
STABLE = {"architecture": "stable_hybrid"}
SGD = {"optimizer": "sgd"}
RAMP = {"scheduler": "WarmupCosine", "lr_min_ratio": 1.0}

RUNS: dict[str, dict[str, Any]] = {
    "hybrid-1e-3-a": {"learning_rate": 1e-3, "seed": 1, "epochs": 6},
    "hybrid-2e-2-a": {"learning_rate": 2e-2, "seed": 1},
    "sgd-1e-1": {**SGD, "learning_rate": 1e-1, "seed": 1},
    "stable-1e-2-a": {**STABLE, "learning_rate": 1e-2, "seed": 1},
    "gain-1e-3": {"learning_rate": 1e-3, "physics_gain": "batch_size", "seed": 1},
    "sgd-3e-4": {**SGD, "learning_rate": 3e-4, "seed": 1},
    "hybrid-7e-3-a": {"learning_rate": 7e-3, "seed": 1},
    "ramp-5e-2-a": {**RAMP, "learning_rate": 5e-2, "lr_warmup_epochs": 6, "epochs": 8, "seed": 1},
    "amp-phase-1e-1": {"learning_rate": 1e-1, "output_mode": "amp_phase", "seed": 1},
    "adam-1e0": {"learning_rate": 1.0, "seed": 1},
    "stable-1e-3": {**STABLE, "learning_rate": 1e-3, "seed": 1, "epochs": 6},
    "zero-gamma-1e-3": {**STABLE, "residual": "zero_gamma", "learning_rate": 1e-3, "seed": 1, "epochs": 6},
    "sgd-1e0": {**SGD, "learning_rate": 1.0, "seed": 1},
    "adam-1e-6": {"learning_rate": 1e-6, "seed": 1},
    "hybrid-1e-2-a": {"learning_rate": 1e-2, "seed": 1},
    "hybrid-1e-2-b": {"learning_rate": 1e-2, "seed": 2},
    "hybrid-14e-3-a": {"learning_rate": 1.4e-2, "seed": 1},
    "hybrid-2e-2-b": {"learning_rate": 2e-2, "seed": 2},
    "stable-2e-2-a": {**STABLE, "learning_rate": 2e-2, "seed": 1},
    "stable-2e-2-b": {**STABLE, "learning_rate": 2e-2, "seed": 2},
    "amp-phase-3e-3": {"learning_rate": 3e-3, "output_mode": "amp_phase", "seed": 1},
    "gain-1e-2": {"learning_rate": 1e-2, "physics_gain": "batch_size", "seed": 1},
    "gain-sgd-1e-2": {**SGD, "learning_rate": 1e-2, "physics_gain": "batch_size", "seed": 1},
    "sgd-3e-2": {**SGD, "learning_rate": 3e-2, "seed": 1},
    "sgd-6e-2": {**SGD, "learning_rate": 6e-2, "seed": 1},
    "sgd-1e-2": {**SGD, "learning_rate": 1e-2, "seed": 1},
    "no-phase-1e-3": {"learning_rate": 2e-3, "set_phi": "false", "seed": 1},
    "no-phase-2e-2": {"learning_rate": 2e-2, "set_phi": "false", "seed": 1},
    "ramp-1e-1": {**RAMP, "learning_rate": 1e-1, "lr_warmup_epochs": 5, "epochs": 7, "seed": 1},
    "ramp-sgd-3e-1": {**SGD, **RAMP, "learning_rate": 3e-1, "lr_warmup_epochs": 6, "epochs": 8, "seed": 1},
    "fno-2e-3": {"architecture": "fno", "width": 8, "learning_rate": 2e-3, "seed": 1},
    "fno-5e-2": {"architecture": "fno", "width": 8, "learning_rate": 5e-2, "seed": 1},
    "ffno-2e-3": {"architecture": "ffno", "width": 8, "learning_rate": 2e-3, "seed": 1},
    "ffno-1e-1": {"architecture": "ffno", "width": 8, "learning_rate": 1e-1, "seed": 1},
    "hybrid-5e-3-a": {"learning_rate": 5e-3, "seed": 1},
    "hybrid-5e-3-b": {"learning_rate": 5e-3, "seed": 2},
    "hybrid-14e-3-b": {"learning_rate": 1.4e-2, "seed": 2},
    "stable-14e-3": {**STABLE, "learning_rate": 1.4e-2, "seed": 3},
    "stable-3e-2": {**STABLE, "learning_rate": 3e-2, "seed": 3},
    "amp-phase-3e-2": {"learning_rate": 3e-2, "output_mode": "amp_phase", "seed": 1},
    "hybrid-1e-5": {"learning_rate": 1e-5, "seed": 1},
    "poisson-legacy-1e-3": {"learning_rate": 1e-3, "loss": "poisson_legacy", "seed": 1},
    "adam-2e-1": {"learning_rate": 2e-1, "seed": 2},
    "ramp-5e-2-b": {**RAMP, "learning_rate": 5e-2, "lr_warmup_epochs": 6, "epochs": 8, "seed": 2},
    "beta2-9e-1": {"learning_rate": 3e-3, "beta2": 0.9, "seed": 1},
    "clip-2e-2": {"learning_rate": 2e-2, "clip_algorithm": "norm", "seed": 1},
    "ramp-long-4e-2-a": {**RAMP, "learning_rate": 4e-2, "lr_warmup_epochs": 9, "epochs": 10, "seed": 4},
    "ramp-long-4e-2-b": {**RAMP, **STABLE, "learning_rate": 4e-2, "lr_warmup_epochs": 9, "epochs": 10, "seed": 5},
    "ramp-clip-sgd-3e0": {
        **SGD,
        **RAMP,
        "learning_rate": 3.0,
        "lr_warmup_epochs": 9,
        "epochs": 10,
        "clip_algorithm": "norm",
        "seed": 1,
    },
    "ramp-clip-sgd-1e0": {
        **SGD,
        **RAMP,
        "learning_rate": 1.0,
        "lr_warmup_epochs": 9,
        "epochs": 10,
        "clip_algorithm": "norm",
        "seed": 2,
    },
    "ramp-clip-2e-1": {
        **RAMP,
        "learning_rate": 0.2,
        "lr_warmup_epochs": 9,
        "epochs": 10,
        "clip_algorithm": "norm",
        "seed": 1,
    },
    "ramp-momentum-99": {
        **SGD,
        **RAMP,
        "learning_rate": 3e-2,
        "momentum": 0.99,
        "lr_warmup_epochs": 7,
        "epochs": 8,
        "seed": 1,
    },
    "ramp-fno-2e-1": {
        **RAMP,
        "architecture": "fno",
        "width": 8,
        "learning_rate": 0.2,
        "lr_warmup_epochs": 9,
        "epochs": 10,
        "seed": 1,
    },
    "ramp-ffno-1e-1": {
        **RAMP,
        "architecture": "ffno",
        "width": 8,
        "learning_rate": 0.1,
        "lr_warmup_epochs": 9,
        "epochs": 10,
        "seed": 1,
    },
    "ramp-amp-phase-1e-1": {
        **RAMP,
        "output_mode": "amp_phase",
        "learning_rate": 0.1,
        "lr_warmup_epochs": 9,
        "epochs": 10,
        "seed": 1,
    },
    "logits-5e-2": {"output_mode": "amp_phase_logits", "learning_rate": 5e-2, "seed": 2},
    "vanilla-3e-3": {"architecture": "fno_vanilla", "width": 8, "learning_rate": 3e-3, "seed": 2},
    "vanilla-1e-1": {"architecture": "fno_vanilla", "width": 8, "learning_rate": 1e-1, "seed": 2},
    "gain-3e-2": {"learning_rate": 3e-2, "physics_gain": "batch_size", "seed": 2},
    "zero-gamma-2e-2": {**STABLE, "residual": "zero_gamma", "learning_rate": 2e-2, "seed": 2},
    "no-phase-1e-2": {"learning_rate": 1e-2, "set_phi": "false", "seed": 2},
    "disks-2e-3": {"object": "disks", "learning_rate": 2e-3, "seed": 2},
    "disks-2e-2": {"object": "disks", "learning_rate": 2e-2, "seed": 2},
    "sgd-1e-4": {**SGD, "learning_rate": 1e-4, "epochs": 8, "seed": 2},
    "sgd-8e-2": {**SGD, "learning_rate": 8e-2, "seed": 2},
    "zclip-15e-3": {"learning_rate": 1.5e-2, "clip_algorithm": "zclip", "seed": 3},
}


KEPT = (
    "step",
    "epoch",
    "lr",
    "loss",
    "grad_norm_preclip",
    "update_ratio",
    "contrast_spatial",
    "contrast_cross_pattern",
)
"""Trace columns that a verdict looks at."""


class Silent:
    def steps(self, rows: object) -> None: ...

    def epoch(self, row: object) -> None: ...


def train(folder: Path) -> None:
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    for name, settings in RUNS.items():
        if (folder / f"{name}.json").exists():
            continue
        config = RunConfig.from_flat({**SMALL, **settings})
        data = load_run_data(config)
        with tempfile.TemporaryDirectory() as scratch:
            result = fit(config, data.train, data.holdout, data.val, Path(scratch), Silent())
        document = {
            "settings": settings,
            "loss": config.training.loss,
            "references": asdict(data.references(data.floors(config.training.batch_size))),
            "initial": asdict(result.initial),
            "epochs": [{k: v for k, v in asdict(row).items() if k != "seconds"} for row in result.history],
            "last": asdict(result.last),
            "trace": {c: [float(f"{x:.7g}") for x in result.trace[c].tolist()] for c in COLUMNS},
        }
        draw(name, document, data, result, folder / f"{name}.png")
        (folder / f"{name}.json").write_text(json.dumps(document))


def draw(name: str, document: dict[str, Any], data: RunData, result: TrainingResult, path: Path) -> None:
    picked = data.holdout.val[:: len(data.holdout.val) // 3][:3]
    with torch.no_grad():
        objects = result.generator(torch.from_numpy(data.val.amplitude_nCNN[picked])).numpy()[:, 0]
    truth = data.val.truth_patches(picked)[:, 0]
    figure, axes = plt.subplots(2, 7, figsize=(21, 6))
    trace, epochs = document["trace"], document["epochs"]
    axes[0, 0].semilogy(trace["loss"], lw=0.7)
    axes[0, 0].semilogy([e["step"] for e in epochs], [e["val_loss"] for e in epochs], "o")
    axes[0, 0].axhline(document["references"]["floor"], color="k", lw=0.5)
    axes[0, 0].set_title(f"{name}: loss, val", fontsize=9)
    for column in ("spatial", "cross_pattern"):
        axes[1, 0].semilogy(np.array(trace[f"contrast_{column}"]) / document["references"][column], label=column)
    axes[1, 0].legend()
    axes[1, 0].set_title("contrast / truth", fontsize=9)
    for k in range(3):
        for row, of in enumerate((np.abs, np.angle)):
            for column, image in ((1 + 2 * k, truth[k]), (2 + 2 * k, objects[k])):
                shown = axes[row, column].imshow(of(image), cmap="gray")
                figure.colorbar(shown, ax=axes[row, column], fraction=0.05)
                axes[row, column].axis("off")
    figure.savefig(path, dpi=45, bbox_inches="tight")
    plt.close(figure)


def pack(folder: Path) -> None:
    labels = json.loads((HERE / "labels.json").read_text())
    runs: dict[str, Any] = {}
    for name in sorted({label["run"] for label in labels.values()}):
        document = json.loads((folder / f"{name}.json").read_text())
        trace = {c: [float(f"{x:.4g}") for x in document["trace"][c]] for c in KEPT}
        runs[name] = {**document, "trace": trace}
    with gzip.GzipFile(HERE / "trained.json.gz", "wb", mtime=0) as file:
        file.write(json.dumps(runs).encode())


CONSTRUCTED: dict[str, dict[str, Any]] = {
    "same picture": {
        "label": "input_independent",
        "reason": "one picture with the contrast of the truth for every input, loss at the constant's, after learning",
        "from": 3,
        "epoch": {"val_loss": 0.24, "contrast_cross_pattern": 0.003},
        "step": {"loss": 0.24, "contrast_cross_pattern": 0.003},
        "onset": [96, 96],
    },
    "same picture, a little better than a constant": {
        "label": "input_independent",
        "reason": "one picture for all fits a little better than a constant, and still tells nothing of the input",
        "from": 0,
        "epoch": {"val_loss": 0.215, "contrast_cross_pattern": 0.0003},
        "step": {"loss": 0.215, "contrast_cross_pattern": 0.0003},
    },
    "same picture, blind": {
        "label": "input_independent",
        "reason": "as above on a scan without a known object",
        "from": 1,
        "epoch": {"val_loss": 0.24, "contrast_cross_pattern": 0.003},
        "references": {"spatial": None, "cross_pattern": None, "phase": None},
    },
    "flat, blind": {
        "label": "flat_amplitude",
        "reason": "contrast of half a percent at the constant's loss, on a scan without a known object",
        "from": 2,
        "epoch": {"val_loss": 0.23, "contrast_spatial": 0.005, "contrast_cross_pattern": 0.004},
        "references": {"spatial": None, "cross_pattern": None, "phase": None},
    },
    "flat phase": {
        "label": "flat_phase",
        "reason": "the amplitude is learned, the phase has a hundredth of the true structure",
        "from": 0,
        "epoch": {"contrast_phase": 0.001},
    },
    "flat phase, late": {
        "label": "flat_phase",
        "reason": "the phase had its structure until the fifth epoch and lost it",
        "from": 5,
        "epoch": {"contrast_phase": 0.0},
    },
    "flat phase of a real object": {
        "label": "healthy",
        "reason": "the true object has no phase to be missed",
        "from": 0,
        "epoch": {"contrast_phase": 0.0},
        "references": {"phase": 0.0},
    },
    "flat phase, blind": {
        "label": "healthy",
        "reason": "nobody knows whether the object has a phase",
        "from": 0,
        "epoch": {"contrast_phase": 0.0},
        "references": {"spatial": None, "cross_pattern": None, "phase": None},
    },
    "ends on a spike": {
        "label": "spike",
        "reason": "learned, and the last validation is twice the best, still far below the constant's",
        "from": 5,
        "epoch": {"val_loss": 0.13},
    },
    "ends on a spike of a weak run": {
        "label": "spike",
        "reason": "had learned a little, last validation 1.6 times the best and below the constant's",
        "from": 5,
        "epoch": {"val_loss": 0.106},
    },
    "lost at full contrast": {
        "label": "lost",
        "reason": "learned, then worse than a constant with pictures that keep their contrast",
        "from": 4,
        "epoch": {"val_loss": 0.3},
        "step": {"loss": 0.3},
        "onset": [128, 128],
    },
    "lost with a dead decoder": {
        "label": "lost",
        "reason": "the same; that a stage is dead is the cause",
        "from": 4,
        "epoch": {"val_loss": 0.3, "dead_channels": {"body.decoder.0": 1.0}},
        "step": {"loss": 0.3},
    },
    "dead branch of a good network": {
        "label": "healthy",
        "reason": "a dead residual branch does no harm here: a warning",
        "from": 0,
        "epoch": {"dead_channels": {"body.bottleneck.branch": 1.0}},
    },
    "saturated and good": {
        "label": "healthy",
        "reason": "an object of ones and zeros saturates a bounded head rightly: a warning",
        "from": 0,
        "epoch": {"head_saturation": 1.0},
    },
    "validation not finite": {
        "label": "nonfinite",
        "reason": "steps are finite, the validation is not",
        "from": 5,
        "epoch": {"val_loss": float("inf")},
    },
    "gradient not finite": {
        "label": "nonfinite",
        "reason": "the loss is fine, one gradient norm is not",
        "from": 5,
        "step": {"grad_norm_preclip": float("inf")},
        "onset": [160, 160],
    },
    "update not finite": {
        "label": "nonfinite",
        "reason": "loss and gradient are fine, the step itself overflows",
        "from": 5,
        "step": {"update_ratio": float("inf")},
        "onset": [160, 160],
    },
    "memory": {"label": "oom", "reason": "an allocation failed after two epochs", "from": 0, "keep": 2, "oom": True},
    "memory at the first step": {"label": "oom", "reason": "an allocation failed", "from": 0, "keep": 0, "oom": True},
}
"""Edits of a healthy trained run, `BASE`: validations (`epoch`) and steps (`step`) from an epoch on."""
BASE = "hybrid-1e-3-a"


def construct() -> None:
    cases: dict[str, Any] = {}
    for name, case in CONSTRUCTED.items():
        document = json.loads(gzip.decompress((HERE / "trained.json.gz").read_bytes()))[BASE]
        keep = case.get("keep", len(document["epochs"]))
        first_step = document["epochs"][case["from"] - 1]["step"] if case["from"] else 0
        last_step = document["epochs"][keep - 1]["step"] if keep else 0
        document["epochs"] = document["epochs"][:keep]
        for epoch in document["epochs"][case["from"] :]:
            epoch.update(case.get("epoch", {}))
        for column, values in document["trace"].items():
            values[first_step:] = [case.get("step", {}).get(column, value) for value in values[first_step:]]
            del values[last_step:]
        document["references"].update(case.get("references", {}))
        said = {key: case.get(key) for key in ("label", "reason", "onset", "oom")}
        cases[name] = {**document, **said}
    with gzip.GzipFile(HERE / "constructed.json.gz", "wb", mtime=0) as file:
        file.write(json.dumps(cases).encode())


if __name__ == "__main__":
    if sys.argv[1] == "construct":
        construct()
    else:
        {"train": train, "pack": pack}[sys.argv[1]](Path(sys.argv[2]))
