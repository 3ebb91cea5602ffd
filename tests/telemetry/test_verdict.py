"""Verdicts on constructed ends of training."""

from __future__ import annotations

import pytest

from ptycho_mlf.telemetry.contrast import Contrast
from ptycho_mlf.telemetry.verdict import judge

TRUTH = Contrast(0.2, 0.15)


@pytest.mark.parametrize(
    ("nonfinite", "val_last", "spatial", "truth", "expected"),
    [
        (None, 0.03, 0.18, TRUTH, "healthy"),
        (None, 0.20, 0.019, TRUTH, "flat_amplitude"),
        (None, 0.20, 0.021, TRUTH, "healthy"),
        (None, 0.17, 0.019, TRUTH, "healthy"),
        (None, 0.03, 0.0009, TRUTH, "flat_amplitude"),
        (None, 0.20, 0.009, None, "flat_amplitude"),
        (None, 0.20, 0.011, None, "healthy"),
        (7, 0.03, 0.18, TRUTH, "nonfinite"),
    ],
)
def test_the_first_rule_that_matches_wins(nonfinite, val_last, spatial, truth, expected):
    verdict = judge(
        nonfinite_step=nonfinite,
        val_last=val_last,
        floor=0.2,
        contrast=Contrast(spatial, 0.1),
        contrast_of_truth=truth,
    )
    assert verdict.name == expected
    assert verdict.onset_step == nonfinite
    assert verdict.sentence.endswith(".")
