"""The activation report: statistics of all layers at some moments of a training, as one JSON document.

Its schema is `schemas/activation_report.schema.json` beside this file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .activation_statistics import DEAD, LOW_FREQUENCY, NEAR_ZERO, LayerStatistics

NAME, VERSION = "ptycho_mlf/activation_report", 1
SCHEMA = Path(__file__).with_name("schemas") / "activation_report.schema.json"
GROWN = 100.0
"""An RMS that changed by at least this factor against the reference is a finding; layer scales of 1e-3 grow tenfold in
healthy trainings."""
NEARLY_ALL = 0.99
"""A share above this of dead channels, or of saturated outputs, is a finding."""

Document = dict[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """All layers at one moment."""

    epoch: int | None
    """Epochs trained; 0 before training, None where it is not known."""
    step: int | None
    """Optimizer steps taken, likewise."""
    layers: Sequence[LayerStatistics]


@dataclass(frozen=True)
class Reference:
    """What the RMS of every layer is compared with."""

    name: str
    """In words, such as `before training`."""
    rms: Mapping[str, float | None]
    """By layer name."""


def reference_of(name: str, layers: Sequence[LayerStatistics]) -> Reference:
    """These layers as a reference."""
    return Reference(name, {layer.name: layer.rms for layer in layers})


def build_report(
    snapshots: Sequence[Snapshot], *, source: Mapping[str, Any], samples: int, reference: Reference | None
) -> Document:
    """The document. Numbers that are not finite become null, so that it is strict JSON.

    Args:
        snapshots: in the order of training.
        source: what was looked at: architecture, sizes, where the weights come from; JSON values by name.
        samples: how many patterns each snapshot saw.
        reference: for `rms_ratio`; None leaves it null.

    Raises:
        ValueError: no snapshot.
    """
    if not snapshots:
        raise ValueError("an activation report of no snapshot")
    moments: list[Document] = [
        {"epoch": s.epoch, "step": s.step, "layers": [_layer(layer, reference) for layer in s.layers]}
        for s in snapshots
    ]
    return {
        "schema": NAME,
        "version": VERSION,
        "source": dict(source),
        "samples": samples,
        "reference": None if reference is None else reference.name,
        "constants": {"dead": DEAD, "near_zero": NEAR_ZERO, "low_frequency": LOW_FREQUENCY},
        "snapshots": moments,
        "findings": list(_findings(moments[-1]["layers"])),
    }


def _layer(layer: LayerStatistics, reference: Reference | None) -> Document:
    before = None if reference is None else reference.rms.get(layer.name)
    values = asdict(layer) | {"shape": list(layer.shape), "rms_ratio": layer.rms / before if before else None}
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in values.items()}


def _findings(layers: Sequence[Document]) -> Iterator[Document]:
    """What is wrong with the last snapshot, from the input to the output: the first one is nearest to the cause."""
    for layer in layers:
        name, ratio = layer["name"], layer["rms_ratio"]
        if layer["nonfinite"] > 0:
            share = layer["nonfinite"]
            yield _finding(name, "nonfinite", share, f"{name}: {_percent(share)} of its outputs are not finite")
            continue
        if layer["dead_channels"] > NEARLY_ALL:
            share = layer["dead_channels"]
            yield _finding(name, "dead", share, f"{name}: {_percent(share)} of its channels are constant")
        if (layer["head_saturation"] or 0.0) > NEARLY_ALL:
            share = layer["head_saturation"]
            yield _finding(name, "saturated_head", share, f"{name}: {_percent(share)} of its outputs are at a bound")
        if ratio is not None and ratio >= GROWN:
            yield _finding(name, "grown", ratio, f"{name}: RMS grew to {ratio:.3g} times its reference")
        elif ratio is not None and ratio <= 1 / GROWN:
            yield _finding(name, "shrunk", ratio, f"{name}: RMS shrank to {ratio:.2g} times its reference")


def _finding(layer: str, kind: str, value: float, text: str) -> Document:
    return {"layer": layer, "kind": kind, "value": value, "text": text}


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def write_report(document: Document, path: Path) -> None:
    """Write a report; the file appears whole or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    temporary.replace(path)


def read_reference(path: Path) -> Reference:
    """The last snapshot of a report as a reference.

    Raises:
        ValueError: the file cannot be read, or is no such report.
    """
    try:
        document = json.loads(path.read_text())
        if document["schema"] != NAME or document["version"] != VERSION:
            raise ValueError(f"not a report of version {VERSION}")
        rms = {layer["name"]: layer["rms"] for layer in document["snapshots"][-1]["layers"]}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(f"no activation report ({type(error).__name__}: {error})") from None
    return Reference(path.name, rms)
