"""What the gradients, weights and updates of every layer did over a training: a long table and a JSON summary."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .gradient_statistics import (
    NONFINITE_BIN,
    ZERO_BIN,
    Array,
    Layer,
    LayerRows,
    quantile_of_histogram,
)

SCHEMA_VERSION = 1
CLIPPED_BELOW = 1 - 1e-5
"""A smaller ratio of norms after and before clipping is clipping, not rounding."""
Histograms = NDArray[np.int64]
"""(L, BINS)."""


def write_gradient_table(rows: LayerRows, layers: Sequence[Layer], path: Path) -> None:
    """gradients.parquet: one row per recorded step and layer; the file appears whole or not at all."""
    names = [layer.name for layer in layers]
    table = pa.table(
        {
            "step": np.repeat(rows.step, len(names)),
            "layer": pa.DictionaryArray.from_arrays(np.tile(np.arange(len(names), dtype=np.int32), len(rows)), names),
            **{name: values.ravel() for name, values in rows.columns().items()},
        }
    )
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(table, temporary)
    temporary.rename(path)


def gradient_report(
    rows: LayerRows,
    layers: Sequence[Layer],
    stride: int,
    histograms: Mapping[str, tuple[int, Histograms]],
) -> dict[str, Any]:
    """gradient_report.json.

    Args:
        rows: the recorded steps.
        layers: the layers in the order of the forward pass.
        stride: steps between two records.
        histograms: "gradient", "weight_initial" and "weight" to the step they belong to and the counts.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "gradient_stride": stride,
        "recorded_steps": len(rows),
        "first_step": int(rows.step[0]) if len(rows) else None,
        "last_step": int(rows.step[-1]) if len(rows) else None,
        "no_gradient": without_gradient(rows, layers),
        "histogram_steps": {name: step for name, (step, _) in histograms.items()},
        "layers": [
            {
                "name": layer.name,
                "type": layer.kind,
                "numbers": layer.numel,
                "grad_norm": _summary(rows.grad_norm[:, k], rows.step),
                "update_ratio": _summary(rows.update_ratio[:, k], rows.step),
                "weight_norm": _summary(rows.weight_norm[:, k], rows.step),
                "clipping": _clipping(rows.clip_scale[:, k]),
                "histograms": {name: histogram_json(counts[k]) for name, (_, counts) in histograms.items()},
            }
            for k, layer in enumerate(layers)
        ],
    }


def without_gradient(rows: LayerRows, layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """Layers whose gradient was exactly zero from some recorded step to the last, and that step: they learn no more."""
    found: list[dict[str, Any]] = []
    for k, layer in enumerate(layers):
        alive = np.flatnonzero(rows.grad_norm[:, k] != 0)
        first = int(alive[-1]) + 1 if alive.size else 0
        if first < len(rows):
            found.append({"layer": layer.name, "since_step": int(rows.step[first])})
    return found


def number(value: float) -> float | None:
    """Six significant digits for JSON; None where it is not finite."""
    return float(f"{value:.6g}") if np.isfinite(value) else None


def histogram_json(counts: NDArray[np.int64]) -> dict[str, Any]:
    """A histogram over binary orders of magnitude: bin k of `counts` holds 2^(first+k) <= |x| < 2^(first+k+1)."""
    inner = np.flatnonzero(counts[1:NONFINITE_BIN]) + 1
    first, end = (int(inner[0]), int(inner[-1]) + 1) if inner.size else (127, 127)
    quantiles = {f"p{100 * q:g}": quantile_of_histogram(counts, q) for q in (0.01, 0.5, 0.99)}
    return {
        "first_exponent": first - 127,
        "counts": counts[first:end].tolist(),
        "zeros": int(counts[ZERO_BIN]),
        "nonfinite": int(counts[NONFINITE_BIN]),
        "log10_quantiles": {name: None if value is None else number(value) for name, value in quantiles.items()},
    }


def _summary(values: Array, steps: NDArray[np.int64]) -> dict[str, Any]:
    finite = np.isfinite(values)
    known, at = values[finite], steps[finite]
    if not known.size:
        empty = dict.fromkeys(("first", "last", "median", "p99", "max", "step_of_max"))
        return {**empty, "nonfinite": int((~finite).sum())}
    return {
        "first": number(known[0]),
        "last": number(known[-1]),
        "median": number(float(np.median(known))),
        "p99": number(float(np.quantile(known, 0.99))),
        "max": number(known.max()),
        "step_of_max": int(at[known.argmax()]),
        "nonfinite": int((~finite).sum()),
    }


def _clipping(scale: Array) -> dict[str, Any]:
    known = scale[np.isfinite(scale)]
    if not known.size:
        return {"fraction": None, "median_scale": None, "least_scale": None}
    return {
        "fraction": number(float((known < CLIPPED_BELOW).mean())),
        "median_scale": number(float(np.median(known))),
        "least_scale": number(known.min()),
    }
