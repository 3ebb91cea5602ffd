"""Crash and acceptance as the earlier study defined them, on its own metrics of the last weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ptycho_mlf.telemetry.verdict import Verdict

CRASH_SSIM = 0.5
CRASH_VAL = 0.15
ACCEPTED_SSIM = 0.80
ACCEPTED_MAE = 0.15
SETTLED_EPOCH = 7
"""An accepted run has no collapse or divergence after this epoch."""


def legacy_rules(
    verdict: Verdict, final_val: float | None, scores: Mapping[str, float | None], steps_per_epoch: int
) -> dict[str, Any]:
    """Crash: amplitude SSIM < 0.5, final validation loss > 0.15, not finite, or out of memory.

    Accepted: amplitude SSIM >= 0.80, amplitude MAE <= 0.15, no collapse or divergence after epoch 7.

    Args:
        verdict: of the run.
        final_val: validation loss of the last weights; None where there is none.
        scores: legacy metrics of the last weights on the test object; empty where they were not scored.
        steps_per_epoch: optimizer steps.
    """
    ssim, mae = scores.get("ssim_amp"), scores.get("mae_amp")
    unfinished = verdict.name in ("nonfinite", "oom")
    late = verdict.crash is True and (verdict.onset_step or 0) >= SETTLED_EPOCH * steps_per_epoch
    good = ssim is not None and ssim >= ACCEPTED_SSIM and mae is not None and mae <= ACCEPTED_MAE
    return {
        "crash": unfinished or ssim is None or ssim < CRASH_SSIM or final_val is None or not final_val <= CRASH_VAL,
        "accepted": good and not unfinished and not late,
        "ssim_amp": ssim,
        "mae_amp": mae,
        "final_val": final_val,
    }
