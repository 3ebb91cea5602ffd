"""The earlier study's crash and acceptance rules, beside the verdict."""

from __future__ import annotations

import pytest

from ptycho_mlf.runs.legacy_rules import legacy_rules
from ptycho_mlf.telemetry.verdict import Verdict

GOOD = {"ssim_amp": 0.9, "mae_amp": 0.06}


@pytest.mark.parametrize(
    ("verdict", "val", "scores", "crash", "accepted"),
    [
        (Verdict("healthy", ""), 0.02, GOOD, False, True),
        (Verdict("healthy", ""), 0.151, GOOD, True, True),
        (Verdict("healthy", ""), 0.02, GOOD | {"ssim_amp": 0.79}, False, False),
        (Verdict("healthy", ""), 0.02, GOOD | {"mae_amp": 0.151}, False, False),
        (Verdict("healthy", ""), 0.02, GOOD | {"ssim_amp": 0.49}, True, False),
        (Verdict("flat_phase", "", onset_step=70), 0.02, GOOD, False, False),
        (Verdict("flat_phase", "", onset_step=69), 0.02, GOOD, False, True),
        (Verdict("nonfinite", "", onset_step=3), None, {}, True, False),
        (Verdict("oom", "", onset_step=3), None, {}, True, False),
        (Verdict("nonfinite", "", onset_step=3), 0.02, GOOD, True, False),
        (Verdict("diverged", "", onset_step=3), 2.0, {"ssim_amp": None, "mae_amp": None}, True, False),
    ],
)
def test_both_rules(verdict: Verdict, val: float | None, scores: dict, crash: bool, accepted: bool):
    found = legacy_rules(verdict, val, scores, steps_per_epoch=10)
    assert (found["crash"], found["accepted"]) == (crash, accepted)
