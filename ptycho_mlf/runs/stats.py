"""stats.json: one schema for every arm, telemetry/schemas/stats.schema.json."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import nn

from ptycho_mlf.generators import count_parameters
from ptycho_mlf.telemetry.spike_events import find_spikes
from ptycho_mlf.telemetry.trace import Rows
from ptycho_mlf.training.fit import TrainingResult


def training_stats(result: TrainingResult) -> dict[str, Any]:
    """Losses, gradient norms, clipping, weights of norms and layer scales at the end of a training."""
    history, trace = result.history, result.trace
    best = min((row for row in history if math.isfinite(row.val_loss)), key=lambda row: row.val_loss, default=None)
    count = count_parameters(result.generator)
    return {
        "epochs": len(history),
        "steps": len(trace),
        "device": result.device,
        "parameters": {"numel": count.numel, "real": count.real, "live": count.live},
        "val": {
            "initial": result.initial.loss,
            "best": best.val_loss if best else None,
            "best_epoch": best.epoch if best else None,
            "best_step": best.step if best else None,
            "last": result.last.loss,
        },
        "train": {
            "best": min((row.train_loss for row in history), default=None),
            "last": history[-1].train_loss if history else None,
        },
        "has_nan": result.nonfinite_step is not None,
        "contrast": {
            "spatial": result.last.contrast.spatial,
            "cross_pattern": result.last.contrast.cross_pattern,
            "phase": result.last.phase_contrast,
        },
        "head_saturation": result.last.head_saturation,
        "grad_norm": {name: _quantiles(trace, f"grad_norm_{name}") for name in ("preclip", "postclip")},
        "update_ratio": _quantiles(trace, "update_ratio"),
        "spike_score": {
            name: find_spikes(np.asarray(trace[name], np.float64)).score for name in ("loss", "grad_norm_preclip")
        },
        "clip_fraction_mean": _mean(trace, "clip_fraction"),
        "norm_weight": _spread(result.generator, "gamma"),
        "layerscale": _spread(result.generator, "layerscale"),
        "seconds": sum(row.seconds for row in history),
    }


def _finite(trace: Rows, column: str) -> np.ndarray:
    values = np.asarray(trace[column], np.float64)
    return values[np.isfinite(values)]


def _quantiles(trace: Rows, column: str) -> dict[str, float] | None:
    values = _finite(trace, column)
    if not values.size:
        return None
    return {"median": float(np.median(values)), "p99": float(np.quantile(values, 0.99)), "max": float(values.max())}


def _mean(trace: Rows, column: str) -> float | None:
    values = _finite(trace, column)
    return float(values.mean()) if values.size else None


def _spread(module: nn.Module, name: str) -> dict[str, float] | None:
    """Over the absolute values of all parameters of that name together; None where there are none."""
    values = [p.detach().abs().double().flatten().numpy() for n, p in module.named_parameters() if n.endswith(name)]
    if not values:
        return None
    every = np.concatenate(values)
    return {"mean": float(every.mean()), "min": float(every.min()), "max": float(every.max())}
