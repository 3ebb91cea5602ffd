"""What a run leaves behind, as files in a folder that is uploaded whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ptycho_mlf.drawing import save_png
from ptycho_mlf.evaluation.evaluate import Evaluation
from ptycho_mlf.evaluation.figures import comparison_figure, frc_figure, history_figure
from ptycho_mlf.telemetry.trace import Rows, write_trace
from ptycho_mlf.training.recorder import EpochRow
from ptycho_mlf.training.validation import Validation

from .json_files import finite, write_json


def write_training(folder: Path, rows: Rows, history: list[EpochRow], initial: Validation | None) -> None:
    """trace.parquet and history.json; also of a training that was cut short."""
    write_trace(rows, folder / "trace.parquet")
    write_json(
        folder / "history.json",
        {
            "initial": None if initial is None else finite(asdict(initial)),
            "epochs": [finite(asdict(r)) for r in history],
        },
    )


def write_figures(
    folder: Path, evaluations: Mapping[str, Evaluation], rows: Rows, history: list[EpochRow], floor: float
) -> None:
    """compare.png and history.png at the root, ring correlation and images under reconstruction/."""
    reconstruction = folder / "reconstruction"
    reconstruction.mkdir(exist_ok=True)
    save_png(comparison_figure(evaluations), folder / "compare.png")
    save_png(frc_figure(evaluations), reconstruction / "frc.png")
    history_plot = history_figure(
        step=rows["step"],
        train_loss=rows["loss"],
        learning_rate=rows["lr"],
        grad_norm_preclip=rows["grad_norm_preclip"],
        grad_norm_postclip=rows["grad_norm_postclip"],
        epoch_end_step=[row.step for row in history],
        val_loss=[row.val_loss for row in history],
        floor=floor,
    )
    save_png(history_plot, folder / "history.png")
    for weights, evaluation in evaluations.items():
        aligned = evaluation.aligned
        if aligned is not None:
            # As they are: numbers like noise do not compress.
            np.savez(
                reconstruction / f"{weights}.npz",
                amp=aligned.amp,
                phase=aligned.phase,
                truth_amp=aligned.truth_amp,
                truth_phase=aligned.truth_phase,
                error_amp=aligned.error("amp"),
                error_phase=aligned.error("phase"),
            )
