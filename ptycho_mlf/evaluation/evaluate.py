"""Score predicted patches of a scan against its true object: one image, every metric, the constant as the reference.

Shapes: n windows of the scan, C channels, N patch side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_mlf.scan import Scan

from .alignment import Aligned, PhaseMode, align, unalignable
from .frc import FrcCurve, frc
from .ground_truth import ground_truth, known_truth
from .legacy import NAMES as LEGACY_NAMES
from .legacy import legacy_align, legacy_scores
from .metrics import KINDS, data_ranges, is_constant, scores
from .metrics import NAMES as METRIC_NAMES
from .reason import Reason, Score
from .skill import LEAST_ERROR, against_constant, constant_prediction
from .stitching import stitch

FRC_METRICS = {"frc50": "0.5", "frc1over7": "1/7", "frchalfbit": "half-bit"}
"""Metric name to threshold; the metric is the crossing in cycles/px."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of one reconstruction. A metric without a value is None in `metrics` (or `legacy`) and has a reason."""

    metrics: dict[str, float | None]
    """`<name>_<amp|phase>`, `constant_*`, `skill_*`, `psnr_gain_*`, `frc*_<complex|amp|phase>`, `amplitude_factor`."""
    reasons: dict[str, str]
    """Why a metric is None, by its name; names of legacy metrics start with `legacy/`."""
    data_ranges: dict[str, float]
    """R of the true amplitude (object units) and phase (rad)."""
    legacy: dict[str, float | None]
    """The earlier study's definitions, `<name>_<amp|phase>` and `constant_*`."""
    frc: dict[str, FrcCurve]
    """By image kind, where it applies."""
    aligned: Aligned | None
    """What was compared; None where the prediction cannot be aligned."""
    constant: Aligned
    """The constant predictor and the truth, aligned."""
    alignment_mode: PhaseMode

    def as_json(self) -> dict[str, Any]:
        """Everything but the images, as strict JSON values: no NaN, no infinity."""
        return {
            "alignment_mode": self.alignment_mode,
            "global_phase": None if self.aligned is None else self.aligned.global_phase,
            "data_ranges": self.data_ranges,
            "metrics": self.metrics,
            "reasons": self.reasons,
            "legacy": self.legacy,
            "frc": {kind: curve.as_json() for kind, curve in self.frc.items()},
        }


def evaluate(
    patches_nCNN: NDArray[np.complexfloating[Any, Any]], scan: Scan, *, alignment_mode: PhaseMode = "plane"
) -> Evaluation:
    """Stitch, align and score the first image of a scan.

    Args:
        patches_nCNN: predicted object patches of the whole scan, in normalised units.
        scan: with truth; its windows must be a raster.
        alignment_mode: "plane" removes a plane from both phases, "mean" only their means.

    Raises:
        InputError: the scan has no truth, or its windows cannot be stitched.
        ValueError: the patches do not have the scan's shape.
    """
    image = stitch(patches_nCNN, scan)
    if not np.isfinite(patches_nCNN).all():
        image[:] = np.nan  # Also where stitching dropped it: such a prediction is broken.
    return evaluate_image(image, scan, alignment_mode=alignment_mode)


def evaluate_image(image_HW: NDArray[np.complex128], scan: Scan, *, alignment_mode: PhaseMode = "plane") -> Evaluation:
    """Align and score the stitched first image of a scan, in normalised units.

    Raises:
        InputError: the scan has no truth.
    """
    known, truth = known_truth(scan), ground_truth(scan)
    with np.errstate(over="ignore", invalid="ignore"):  # a broken prediction is a result here, no accident
        prediction = image_HW * known.norm_Y
    undefined = unalignable(prediction) if np.isfinite(prediction).all() else Reason.NONFINITE
    outcome = undefined or align(prediction, truth, alignment_mode)
    old_outcome = undefined or legacy_align(prediction, truth, alignment_mode)
    reference = constant_prediction(truth)
    constant = align(reference, truth, alignment_mode)
    old_constant = legacy_align(reference, truth, alignment_mode)

    ranges = data_ranges(constant)
    vacuous = {kind for kind in KINDS if ranges[kind] < LEAST_ERROR} | (set() if known.has_phase else {"phase"})
    found: dict[str, Score] = {"amplitude_factor": outcome if isinstance(outcome, Reason) else outcome.factor}
    legacy: dict[str, Score] = {}
    for kind in KINDS:
        flat = Reason.VACUOUS if kind in vacuous else None
        found |= _of_kind(kind, flat or outcome, flat or constant, known.norm_Y)
        legacy |= _legacy_of_kind(kind, flat or old_outcome, flat or old_constant)
    curves, crossings = _frc_of_kinds(outcome, vacuous)
    found |= crossings
    reasons = {name: str(score) for name, score in found.items() if isinstance(score, Reason)}
    reasons |= {f"legacy/{name}": str(score) for name, score in legacy.items() if isinstance(score, Reason)}
    return Evaluation(
        metrics=_values(found),
        reasons=reasons,
        data_ranges=ranges,
        legacy=_values(legacy),
        frc=curves,
        aligned=None if isinstance(outcome, Reason) else outcome,
        constant=constant,
        alignment_mode=alignment_mode,
    )


def _of_kind(kind: str, pair: Aligned | Reason, constant: Aligned | Reason, norm_Y: float) -> dict[str, Score]:
    """Scores of prediction and constant, and the skill between them, under their public names."""

    def scored(pair: Aligned | Reason) -> dict[str, Score]:
        table: dict[str, Score] = dict.fromkeys(METRIC_NAMES, pair) if isinstance(pair, Reason) else scores(pair, kind)
        if kind == "amp":
            mae = table["mae"]
            table["nmae"] = mae if isinstance(mae, Reason) else mae / norm_Y
        return table

    return {f"{name}_{kind}": score for name, score in against_constant(scored(pair), scored(constant)).items()}


def _legacy_of_kind(kind: str, pair: Aligned | Reason, constant: Aligned | Reason) -> dict[str, Score]:
    table: dict[str, Score] = {}
    for prefix, images in (("", pair), ("constant_", constant)):
        own = dict.fromkeys(LEGACY_NAMES, images) if isinstance(images, Reason) else legacy_scores(images, kind)
        table |= {f"{prefix}{name}_{kind}": score for name, score in own.items()}
    return table


def _frc_of_kinds(pair: Aligned | Reason, vacuous: set[str]) -> tuple[dict[str, FrcCurve], dict[str, Score]]:
    """Ring correlation of the complex image, amplitude and phase, and their crossings in cycles/px."""
    curves: dict[str, FrcCurve] = {}
    crossings: dict[str, Score] = {}
    for kind in ("complex", *KINDS):
        obstacle = None
        if kind in vacuous or (kind == "complex" and vacuous == set(KINDS)):
            obstacle = Reason.VACUOUS
        elif isinstance(pair, Reason):
            obstacle = pair
        elif is_constant(pair, kind):
            obstacle = Reason.CONSTANT
        else:
            curves[kind] = frc(*pair.images(kind))
        for name, threshold in FRC_METRICS.items():
            crossings[f"{name}_{kind}"] = obstacle or curves[kind].crossings[threshold].frequency
    return curves, crossings


def _values(scores: dict[str, Score]) -> dict[str, float | None]:
    return {name: None if isinstance(score, Reason) else score for name, score in scores.items()}
