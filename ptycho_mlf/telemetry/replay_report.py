"""The onset of a failure in full: what a replay of the training found, and how exactly it was the same training.

The document's schema is `schemas/replay.schema.json` beside this file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from .gradient_report import histogram_json, number
from .gradient_statistics import layer_histograms
from .moment import Moment, Tensors
from .trace import Rows

SCHEMA_VERSION = 1
_CONTEXT = ("step", "epoch")
"""Columns of a trace that are no results."""


def proof(trained: Rows, replayed: Rows, onset: int) -> dict[str, Any]:
    """How far the steps that were taken again are those of the training.

    Args:
        trained: the whole trace.
        replayed: of the replay.
        onset: the last step it was to take.
    """
    first = int(replayed["step"][0])
    original = {name: trained[name][first : first + len(replayed)] for name in trained.columns if name not in _CONTEXT}
    differences = {name: _difference(values, replayed[name], first) for name, values in original.items()}
    different = {name: found for name, found in differences.items() if found is not None}
    complete = int(replayed["step"][-1]) == onset
    return {
        "first_step": first,
        "last_step": int(replayed["step"][-1]),
        "identical": complete and not different,
        "differences": different,
    }


def _difference(trained: np.ndarray, replayed: np.ndarray, first: int) -> dict[str, Any] | None:
    """Largest difference of a column; None where it is the same bit for bit."""
    unequal = np.flatnonzero(~((trained == replayed) | (np.isnan(trained) & np.isnan(replayed))))
    if not unequal.size:
        return None
    with np.errstate(all="ignore"):
        away = np.abs(replayed - trained)[unequal]
        relative = away / np.abs(trained[unequal])
    return {
        "first_step": first + int(unequal[0]),
        "largest": number(float(away.max())),
        "largest_relative": number(float(relative.max())),
    }


def replay_document(trained: Rows, replayed: Rows, moment: Moment, before: Moment | None) -> dict[str, Any]:
    """replay.json. Numbers that are not finite become null.

    Args:
        trained: trace of the training.
        replayed: trace of the replay.
        moment: the onset.
        before: the step before it; None for the first step.
    """
    start_epoch = int(replayed["epoch"][0])
    shown = proof(trained, replayed, moment.step)
    onset = {name: float(trained[name][moment.step]) for name in trained.columns if name not in _CONTEXT}
    document = {
        "schema_version": SCHEMA_VERSION,
        "step": moment.step,
        "epoch": moment.epoch,
        "batch": moment.batch,
        "start": "initial weights" if start_epoch == 0 else f"checkpoint after epoch {start_epoch}",
        "proof": shown,
        "trace": {name: value if math.isfinite(value) else None for name, value in onset.items()},
        "schedule": {name: _plain(value) for name, value in moment.schedule.items() if _is_plain(value)},
        "clipper": {name: _plain(value.tolist()) for name, value in moment.clipper.items()},
        "patterns": [
            {"pattern": int(pattern), "error": number(float(error))}
            for pattern, error in zip(moment.patterns, moment.errors(), strict=True)
        ],
        "layers": _layers(moment, before),
        "activations": _activations(moment, before),
        "tensors": {name: list(tensor.shape) for name, tensor in stored_tensors(moment, before).items()},
    }
    return {"sentence": _sentence(document), **document}


def stored_tensors(moment: Moment, before: Moment | None) -> Tensors:
    """Everything of the onset, and `before/gradient/...` of the step before."""
    gradients = {} if before is None else before.gradients
    return dict(moment.tensors()) | {f"before/gradient/{name}": tensor for name, tensor in gradients.items()}


def write_tensors(moment: Moment, before: Moment | None, path: Path) -> None:
    """onset.safetensors; the file appears whole or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    save_file(stored_tensors(moment, before), temporary, metadata={"step": str(moment.step)})
    temporary.replace(path)


def _layers(moment: Moment, before: Moment | None) -> list[dict[str, Any]]:
    names = list(moment.gradients)
    counts = layer_histograms(list(moment.gradients.values()), moment.layers)
    rows: list[dict[str, Any]] = []
    for layer, histogram in zip(moment.layers, counts, strict=True):
        of = [names[k] for k in layer.parameters]
        gradient, weight = _norm(moment.gradients, of), _norm(moment.weights, of)
        update, postclip = _norm(moment.updates, of), math.hypot(*(moment.postclip_norms[name] for name in of))
        rows.append(
            {
                "name": layer.name,
                "type": layer.kind,
                "numbers": layer.numel,
                "grad_norm": number(gradient),
                "grad_norm_before": None if before is None else number(_norm(before.gradients, of)),
                "cosine_to_before": None if before is None else _cosine(moment.gradients, before.gradients, of),
                "clip_scale": _ratio(postclip, gradient),
                "weight_norm": number(weight),
                "update_ratio": _ratio(update, weight),
                "gradient_histogram": histogram_json(histogram),
            }
        )
    return rows


def _activations(moment: Moment, before: Moment | None) -> list[dict[str, Any]]:
    earlier = {} if before is None else {layer.name: layer.rms for layer in before.activations}
    return [
        {name: number(value) if isinstance(value, float) else value for name, value in asdict(layer).items()}
        | {
            "shape": list(layer.shape),
            "rms_before": number(earlier[layer.name]) if layer.name in earlier else None,
            "histogram": histogram_json(moment.outputs[layer.name]),
        }
        for layer in moment.activations
    ]


def _norm(tensors: Mapping[str, Tensor], names: list[str]) -> float:
    return math.hypot(*(float(torch.linalg.vector_norm(tensors[name].double())) for name in names))


def _cosine(a: Mapping[str, Tensor], b: Mapping[str, Tensor], names: list[str]) -> float | None:
    product = sum(float((a[name].double() * b[name].double()).sum()) for name in names)
    return _ratio(product, _norm(a, names) * _norm(b, names))


def _ratio(above: float, below: float) -> float | None:
    return number(above / below) if below else None


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if not isinstance(value, float) or math.isfinite(value) else None


def _sentence(document: Mapping[str, Any]) -> str:
    shown = document["proof"]
    steps = shown["last_step"] - shown["first_step"] + 1
    taken = (
        f"{steps} step{'s' if steps > 1 else ''} to step {document['step']} taken again from the {document['start']}"
    )
    if shown["identical"]:
        return f"{taken}: every number of the trace came out the same, bit for bit."
    if shown["last_step"] != document["step"]:
        return f"{taken}: not the same training, this time step {shown['last_step']} was not finite."
    worst = ", ".join(
        f"{name} by up to {found['largest_relative']} of its value from step {found['first_step']} on"
        for name, found in shown["differences"].items()
    )
    return f"{taken}: not bit for bit the same training; different are {worst}."
