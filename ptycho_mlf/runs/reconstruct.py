"""A trained network applied to a scan: the object, figures, and scores where the true object is known."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ptycho_mlf.config import InputError, RunConfig
from ptycho_mlf.evaluation.evaluate import evaluate_image
from ptycho_mlf.launch import user_path
from ptycho_mlf.tracking.existing import artifact_place, attach_files
from ptycho_mlf.tracking.store import connect
from ptycho_mlf.training.fit import resolve_accelerator
from ptycho_mlf.training.threads import cpu_threads

from .dataset import load_dataset
from .network_source import NetworkRequest, load_network
from .predict import BATCH, reconstruct
from .reconstruction_files import Reconstruction, check_writable, picture_name, publish, write_reconstruction
from .reconstruction_progress import ReconstructionProgress
from .reconstruction_table import print_reconstruction
from .scan_file import read_scan

_FOLDER = "reconstruction"
"""Where it goes: in the working folder, and within a run's artifacts."""


@dataclass(frozen=True)
class ReconstructRequest(NetworkRequest):
    """What is asked for; empty text means not given. Overrides may also be threads, batch size and precision."""

    input: str = ""
    """npz file with the scan; else the test scan of the configuration is simulated."""
    device: str = "auto"
    output: str = ""


def run_reconstruction(request: ReconstructRequest, console: Console) -> None:
    """Reconstruct, write object, figures and scores, and print what came of it.

    The files go to the folder `output`, else to the artifacts of the run whose network it is, or of the run that
    `mlflow run` began for this; without a run to ./reconstruction.

    Raises:
        InputError: anything asked for that does not exist or does not fit; nothing is written then.
    """
    run_id = request.run_id or os.environ.get("MLFLOW_RUN_ID", "")
    folder = None
    if request.output or not run_id:
        folder = user_path(request.output or _FOLDER)
        check_writable(folder)
    with tempfile.TemporaryDirectory(prefix="ptycho_mlf-") as scratch:
        made = _reconstruct(request)
        ready = Path(scratch) / "ready"
        write_reconstruction(made, ready)
        places: list[str] = []
        if folder is not None:
            publish(ready, folder)
            places.append(str(folder / picture_name(made)))
        if run_id:
            connect()
            # A run has reconstructions of its own; those of other data and weights are kept apart.
            artifacts = f"{_FOLDER}/{made.label}-{made.scan.content_hash[:8]}"
            run = attach_files(run_id, ready, artifacts)
            places.append(artifact_place(run, f"{artifacts}/{picture_name(made)}"))
    print_reconstruction(made.evaluation, made.label, console)
    for place in places:
        console.print(place, soft_wrap=True, markup=False, highlight=False)


def _reconstruct(request: ReconstructRequest) -> Reconstruction:
    device = resolve_accelerator(request.device)
    scan = read_scan(user_path(request.input)) if request.input else None
    network = load_network(request, None if scan is None else scan.N)
    config = network.config
    label = request.weights if request.run_id else "model" if request.model else "checkpoint"
    data = f"input={request.input}" if scan is not None else "the simulated test scan"
    if scan is None:
        scan = load_dataset(config).test
    if (scan.channels, scan.N) != (config.data.channels, config.data.N):
        raise InputError(
            f"{data}: patterns of {scan.channels} x {scan.N} x {scan.N}, "
            f"but the network takes {config.data.channels} x {config.data.N} x {config.data.N}"
        )
    settings = _settings(request, config)
    began = time.monotonic()
    with cpu_threads(settings["threads"]), ReconstructionProgress() as progress:
        image = reconstruct(
            network.generator,
            scan,
            device,
            batch_size=settings["batch_size"],
            precision=settings["precision"],
            progress=progress,
        )
    seconds = time.monotonic() - began
    source: dict[str, Any] = {
        "network": network.source,
        "input": request.input or "simulated test scan",
        "content_hash": scan.content_hash,
        "provenance": dict(scan.provenance),
        "patterns": scan.grid.rows * scan.grid.columns,
        "images_in_scan": scan.grid.images,
        "device": device,
        "precision": settings["precision"],
        "seconds": seconds,
    }
    evaluation = None if scan.truth is None else evaluate_image(image, scan)
    return Reconstruction(image, scan, label, evaluation, source)


def _settings(request: ReconstructRequest, config: RunConfig) -> dict[str, Any]:
    """How to compute: as asked for here, not as the training of the network was run."""
    asked = request.overrides
    return {
        "batch_size": config.training.batch_size if "batch_size" in asked else BATCH,
        "threads": config.execution.threads if "threads" in asked else 0,
        "precision": config.training.precision if "precision" in asked else "float32",
    }
