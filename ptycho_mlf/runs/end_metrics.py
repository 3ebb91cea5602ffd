"""Scalars of an ended run that `compare`, studies and the UI's table read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from ptycho_mlf.physics.floor import Floors
from ptycho_mlf.telemetry.range_test import range_test
from ptycho_mlf.telemetry.skill import loss_skill
from ptycho_mlf.telemetry.trace import Rows


def end_metrics(stats: Mapping[str, Any], floors: Floors, trace: Rows, scheduler: str) -> dict[str, float]:
    """Metric to value; what is not finite or does not exist is left out.

    Args:
        stats: of stats.json.
        floors: what constants score on the validation patterns.
        trace: of the training.
        scheduler: a ramp of the learning rate is read off as a range test.
    """
    points: dict[str, float | None] = {f"floor/{name}": value for name, value in asdict(floors).items()}
    for name in ("best", "last"):
        if stats["val"][name] is not None:
            points[f"val/loss_{name}"] = stats["val"][name]
            points[f"val/skill_{name}"] = loss_skill(stats["val"][name], floors.best)
    if stats["grad_norm"]["preclip"] is not None:
        points |= {f"grad_norm/run_{name}": value for name, value in stats["grad_norm"]["preclip"].items()}
    points |= {f"spike_score/{name}": value for name, value in stats["spike_score"].items()}
    points["time/training_seconds"] = stats["seconds"]
    if scheduler == "Ramp" and len(trace) > 1:
        found = range_test(np.asarray(trace["lr"], np.float64), np.asarray(trace["loss"], np.float64))
        points |= {"range_test/lr_steepest": found.steepest, "range_test/lr_diverged": found.diverged}
    return {name: value for name, value in points.items() if value is not None and math.isfinite(value)}
