"""The activation report of a trained network, wherever it is kept."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ptycho_mlf.config import InputError
from ptycho_mlf.launch import user_path
from ptycho_mlf.telemetry.activation_page import write_page
from ptycho_mlf.telemetry.activation_report import (
    Document,
    Reference,
    Snapshot,
    build_report,
    read_reference,
    reference_of,
    write_report,
)
from ptycho_mlf.telemetry.activation_statistics import LayerStatistics, measure
from ptycho_mlf.tracking.existing import artifact_place, attach_files
from ptycho_mlf.tracking.store import connect
from ptycho_mlf.training.activation_monitor import spread
from ptycho_mlf.training.fit import resolve_accelerator

from .dataset import load_run_data
from .network_source import NetworkRequest, Source, load_network
from .patterns_file import read_patterns

_FOLDER = "activations"
"""Where a report goes within a run's artifacts, and without a run in the working folder."""


@dataclass(frozen=True)
class ActivationRequest(NetworkRequest):
    """What is asked for; empty text means not given."""

    weights: Literal["best", "last"] = "last"
    input: str = ""
    """npz file with the patterns; else the network's own validation patterns are simulated."""
    reference: str = ""
    """Another report to compare the RMS with; else the network before training, where its seed is known."""
    max_samples: int = 16
    device: str = "auto"
    output: str = ""
    output_json_name: str = ""


def report_activations(request: ActivationRequest) -> list[str]:
    """Write the report as JSON and HTML, and add it to the artifacts of the run it belongs to.

    Returns:
        Lines that tell where it is and what stands out.

    Raises:
        InputError: anything asked for that does not exist or does not fit; nothing is written then.
    """
    name = _json_name(request)
    with tempfile.TemporaryDirectory(prefix="ptycho_mlf-") as scratch:
        document = _document(request)
        # Under `mlflow run` there is a run for this very report.
        run_id = request.run_id or os.environ.get("MLFLOW_RUN_ID", "")
        lines: list[str] = []
        if request.output or not run_id:
            folder = user_path(request.output or _FOLDER)
            _write(document, folder, name)
            lines.append(f"{folder / name} and {Path(name).with_suffix('.html')}")
        if run_id:
            ready = Path(scratch) / "report"
            _write(document, ready, name)
            connect()
            place = artifact_place(attach_files(run_id, ready, _FOLDER), f"{_FOLDER}/{name}")
            lines.append(f"{place} and {Path(name).with_suffix('.html')}")
    found: Sequence[Document] = document["findings"]
    return lines + ([finding["text"] for finding in found] or ["No dead layer, saturated head, or layer out of scale."])


def _document(request: ActivationRequest) -> Document:
    device = resolve_accelerator(request.device)
    patterns = read_patterns(user_path(request.input)) if request.input else None
    reference = _named_reference(request.reference)
    network = load_network(request, None if patterns is None else patterns.shape[-1])
    origin: Source = {"input": request.input or "simulated validation patterns", "device": device}
    if patterns is None:
        data = load_run_data(network.config)
        patterns = data.val.amplitude_nCNN[data.holdout.val]
    config = network.config
    needed = (config.data.channels, config.data.N, config.data.N)
    if patterns.shape[1:] != needed:
        raise InputError(f"input={request.input}: patterns of {patterns.shape[1:]}, but the network takes {needed}")
    chosen = patterns[spread(len(patterns), request.max_samples)]
    batch_size = config.training.batch_size
    if reference is None and network.initial is not None:
        reference = reference_of("before training", _measure(network.initial, chosen, batch_size, device))
    layers = _measure(network.generator, chosen, batch_size, device)
    snapshot = Snapshot(epoch=None, step=network.step, layers=layers)
    return build_report([snapshot], source=network.source | origin, samples=len(chosen), reference=reference)


def _measure(generator: nn.Module, chosen: NDArray[np.float32], batch_size: int, device: str) -> list[LayerStatistics]:
    batches = torch.from_numpy(np.ascontiguousarray(chosen)).split(batch_size)
    return measure(generator.to(device), (batch.to(device) for batch in batches))


def _named_reference(path: str) -> Reference | None:
    if not path:
        return None
    try:
        return read_reference(user_path(path))
    except ValueError as error:
        raise InputError(f"reference={path}: {error}") from None


def _json_name(request: ActivationRequest) -> str:
    """The name asked for; else one that does not hide the report a run made while it trained."""
    name = request.output_json_name
    if not name:
        return f"activation_report_{request.weights}.json" if request.run_id else "activation_report.json"
    if Path(name).name != name or not name.endswith(".json") or name == ".json":
        raise InputError(f"output_json_name={name}: must be a file name that ends in .json")
    return name


def _write(document: Document, folder: Path, name: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_page(document, folder / Path(name).with_suffix(".html"))
        write_report(document, folder / name)
    except OSError as error:
        raise InputError(f"output={folder}: cannot be written ({error.strerror})") from None
