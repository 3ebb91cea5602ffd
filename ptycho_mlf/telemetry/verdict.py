"""The verdict of a run: what became of the training, from its own data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from .contrast import Contrast

VerdictName = Literal["nonfinite", "flat_amplitude", "healthy"]

FLAT_SHARE = 0.1
"""Contrast below this share of the truth's is flat, if the loss is no better than a constant's."""
FLAT_WITHOUT_TRUTH = 0.01
"""The bound that stands in for `FLAT_SHARE` where the true object is not known."""
FLAT_ABSOLUTE = 1e-3
"""Contrast below this is flat whatever the loss."""
FLOOR_SHARE = 0.9
"""A loss above this share of the constant-object floor has learned nothing beyond a constant."""


@dataclass(frozen=True)
class Verdict:
    """Exactly one per ended run."""

    name: VerdictName
    sentence: str
    """One sentence for people."""
    onset_step: int | None = None
    evidence: dict[str, Any] = field(default_factory=dict[str, Any])

    def as_json(self) -> dict[str, Any]:
        """For verdict.json."""
        return asdict(self)


def judge(
    *,
    nonfinite_step: int | None,
    val_last: float,
    floor: float,
    contrast: Contrast,
    contrast_of_truth: Contrast | None,
) -> Verdict:
    """Give the verdict; the first that matches wins.

    Args:
        nonfinite_step: first step with a non-finite loss or gradient norm, if any.
        val_last: validation loss (mae) of the last weights.
        floor: the smallest validation loss that a constant object reaches on the same data.
        contrast: of the last predicted validation objects.
        contrast_of_truth: of the true ones; None when the object is not known.
    """
    if nonfinite_step is not None:
        return Verdict(
            "nonfinite",
            f"The loss or the gradient norm was not finite at step {nonfinite_step}; the weights were frozen there.",
            nonfinite_step,
        )
    evidence = {
        "val_last": val_last,
        "floor_best_val": floor,
        "contrast_spatial": contrast.spatial,
        "contrast_spatial_truth": contrast_of_truth.spatial if contrast_of_truth else None,
        "contrast_cross_pattern": contrast.cross_pattern,
        "contrast_cross_pattern_truth": contrast_of_truth.cross_pattern if contrast_of_truth else None,
    }
    bound = FLAT_SHARE * contrast_of_truth.spatial if contrast_of_truth else FLAT_WITHOUT_TRUTH
    flat = contrast.spatial < bound and val_last >= FLOOR_SHARE * floor
    if flat or contrast.spatial < FLAT_ABSOLUTE:
        return Verdict(
            "flat_amplitude",
            f"The network predicts a flat amplitude: contrast {contrast.spatial:.3g}"
            + (f" against {contrast_of_truth.spatial:.3g} in the truth" if contrast_of_truth else "")
            + f", validation loss {val_last:.3g} against {floor:.3g} for the best constant object.",
            evidence=evidence,
        )
    skill = 1 - val_last / floor
    return Verdict(
        "healthy",
        f"No collapse seen: validation loss {val_last:.3g}, skill {skill:.2f} over the best constant object.",
        evidence=evidence,
    )
