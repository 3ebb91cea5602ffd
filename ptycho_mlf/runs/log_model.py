"""Log a trained generator as an MLflow model: safetensors weights and a code file, no pickle."""

from __future__ import annotations

import tempfile
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

import ptycho_mlf
from ptycho_mlf.scan import Scan
from ptycho_mlf.tracking.run_record import RunRecord

CODE = Path(__file__).with_name("served_model.py")
PACKAGE = Path(ptycho_mlf.__file__).parent


def log_model(record: RunRecord, generator: nn.Module, config_file: Path, scan: Scan, step: int) -> None:
    """Log `generator`, as it is after `step` steps, with a signature for the patterns of `scan`."""
    with tempfile.TemporaryDirectory(prefix="ptycho_mlf-") as scratch:
        weights = Path(scratch) / "weights.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in generator.state_dict().items()}, weights)
        record.log_pyfunc(
            code_path=CODE,
            artifacts={"weights": weights, "config": config_file},
            channels=scan.channels,
            side=scan.N,
            step=step,
            # The model is run with the code it was trained with, wherever it is loaded.
            code_paths=[PACKAGE],
        )
