"""Best and last weights, each scored on the test scan."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ptycho_mlf.config import RunConfig
from ptycho_mlf.evaluation.evaluate import Evaluation, evaluate_image
from ptycho_mlf.scan import Scan
from ptycho_mlf.training.checkpoints import generator_weights
from ptycho_mlf.training.fit import TrainingResult

from .predict import reconstruct


def scored_generators(config: RunConfig, result: TrainingResult, checkpoints: Path) -> dict[str, nn.Module]:
    """The generators to score: best first. `last` alone with score=last, or when no validation was finite."""
    generators: dict[str, nn.Module] = {}
    if config.replication.score == "both" and result.best_epoch is not None:
        weights, last = generator_weights(checkpoints / "best.ckpt"), result.generator.state_dict()
        best = result.generator
        # Where the last epoch was the best both are one network, which is scored once.
        if not all(torch.equal(weights[name], tensor) for name, tensor in last.items()):
            best = copy.deepcopy(best)
            best.load_state_dict(weights)
        generators["best"] = best
    generators["last"] = result.generator
    return generators


def score(generators: dict[str, nn.Module], test: Scan, device: str) -> dict[str, Evaluation]:
    """Predict the test scan with each and evaluate."""
    networks = dict.fromkeys(generators.values())
    found = {network: evaluate_image(reconstruct(network, test, device), test) for network in networks}
    return {weights: found[generator] for weights, generator in generators.items()}


def metrics_for_store(evaluations: Mapping[str, Evaluation]) -> dict[str, float]:
    """What the tracking store gets: `test/<weights>/<name>`, without metrics that do not apply.

    The scores of the constant predictor are the same for all weights and go to `test/constant/<name>`.
    """
    points: dict[str, float] = {}
    for weights, evaluation in evaluations.items():
        for block, values in (("", evaluation.metrics), ("legacy/", evaluation.legacy)):
            for name, value in values.items():
                if value is not None and math.isfinite(value):
                    plain = name.removeprefix("constant_")
                    points[f"test/{weights if plain == name else 'constant'}/{block}{plain}"] = value
    return points


def scores_json(evaluations: Mapping[str, Evaluation]) -> dict[str, Any]:
    """For metrics.json."""
    return {weights: evaluation.as_json() for weights, evaluation in evaluations.items()}
