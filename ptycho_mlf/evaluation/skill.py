"""Scores relative to the constant predictor: an object of ones, put through the same alignment and metrics.

Skill 1 is perfect, 0 as good as the constant, negative worse. Where the constant is already (nearly) perfect, the
metric says nothing about a network and is vacuous: it has no value, instead of one that looks perfect.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .reason import Reason, Score

SIMILARITIES = ("ssim", "msssim", "pearson")
LEAST_ERROR = 1e-6
"""A constant error below this (in the metric's unit) makes a metric vacuous."""
LEAST_SHORTFALL = 1e-3
"""1 - similarity of the constant below this makes a metric vacuous."""


def constant_prediction(truth: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """The object O = 1, of the shape of the truth."""
    return np.ones_like(truth)


def error_skill(error: float, constant: float) -> Score:
    """1 - error / constant error; vacuous where the constant makes no error."""
    return 1 - error / constant if constant >= LEAST_ERROR else Reason.VACUOUS


def similarity_skill(similarity: float, constant: float) -> Score:
    """(s - s_const) / (1 - s_const); vacuous where the constant is as similar as can be."""
    return (similarity - constant) / (1 - constant) if 1 - constant >= LEAST_SHORTFALL else Reason.VACUOUS


def against_constant(scores: Mapping[str, Score], constant: Mapping[str, Score]) -> dict[str, Score]:
    """The scores, those of the constant and the skills of one image kind, with vacuous metrics marked as such.

    Args:
        scores: by metric name (`mae`, `ssim`, ...), of the prediction.
        constant: of the constant predictor, same names.

    Returns:
        `<name>`, `constant_<name>`, and `skill_<name>` or `psnr_gain`.
    """
    result: dict[str, Score] = {}
    for name, score in scores.items():
        base = constant[name]
        if _is_vacuous(name, constant):
            score = base = Reason.VACUOUS
        result[name], result[f"constant_{name}"] = score, base
        result["psnr_gain" if name == "psnr" else f"skill_{name}"] = _relative(name, score, base)
    return result


def _is_vacuous(name: str, constant: Mapping[str, Score]) -> bool:
    base = constant["mse" if name == "psnr" else name]
    if isinstance(base, Reason):
        return False
    return 1 - base < LEAST_SHORTFALL if name in SIMILARITIES else base < LEAST_ERROR


def _relative(name: str, score: Score, constant: Score) -> Score:
    if isinstance(score, Reason):
        return score
    if isinstance(constant, Reason):
        return constant
    if name == "psnr":
        return score - constant
    return similarity_skill(score, constant) if name in SIMILARITIES else error_skill(score, constant)
