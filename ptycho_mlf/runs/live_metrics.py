"""What a run tells the tracking store while it trains: thinned step series and epoch values, and it keeps the rows."""

from __future__ import annotations

import math

import numpy as np

from ptycho_mlf.telemetry.buckets import Buckets, Point
from ptycho_mlf.telemetry.skill import loss_skill
from ptycho_mlf.telemetry.trace import Rows
from ptycho_mlf.tracking.run_record import RunRecord
from ptycho_mlf.training.recorder import EpochRow

SERIES = {
    "loss": "train/loss",
    "grad_norm_preclip": "grad_norm/preclip",
    "grad_norm_postclip": "grad_norm/postclip",
    "clip_fraction": "clip/fraction",
    "update_ratio": "update_ratio",
    "lr": "lr",
}
"""Trace column to metric name. `<name>_median` is the second series of a bucket."""
OF_CLIPPING = ("grad_norm_postclip", "clip_fraction")
"""Columns that say nothing new without clipping: a point costs some 40 us, and a curve of zeros is no information."""
LOG_COMPANIONS = {
    "train/loss": "train/log10_loss",
    "grad_norm/preclip": "grad_norm/log10_preclip",
    "update_ratio": "log10_update_ratio",
}
"""Series that span decades get their logarithm as a series of its own: the UI's axes are linear until one asks."""


class LiveMetrics:
    """An observer of the training."""

    def __init__(self, record: RunRecord, total_steps: int, floor: float, clips: bool) -> None:
        """Start empty.

        Args:
            record: the run in the store.
            total_steps: steps of the whole training.
            floor: the best constant's validation loss, for the skill.
            clips: whether gradients are clipped.
        """
        self._record, self._floor = record, floor
        self._buckets = {column: Buckets(total_steps) for column in SERIES if clips or column not in OF_CLIPPING}
        self.rows: list[Rows] = []
        self.history: list[EpochRow] = []

    def steps(self, rows: Rows) -> None:
        """Log the buckets these steps complete."""
        self.rows.append(rows)
        for column, buckets in self._buckets.items():
            # The update ratio of a step that was not measured is no number; a loss that is none is shown.
            known = ~np.isnan(rows[column]) if column == "update_ratio" else slice(None)
            self._log(SERIES[column], buckets, buckets.add(rows["step"][known], rows[column][known]))

    def epoch(self, row: EpochRow) -> None:
        """Log one validation."""
        self.history.append(row)
        values = {
            "val/loss": row.val_loss,
            "val/skill": loss_skill(row.val_loss, self._floor),
            "train/epoch_loss": row.train_loss,
            "contrast/amp": row.contrast_spatial,
            "contrast/cross_pattern": row.contrast_cross_pattern,
            "contrast/phase": row.contrast_phase,
            "epoch": row.epoch,
        }
        if row.head_saturation is not None:
            values["head/saturation"] = row.head_saturation
        self._record.log_metrics(values, step=row.step)

    def close(self) -> None:
        """Log the last, partial buckets."""
        for column, buckets in self._buckets.items():
            self._log(SERIES[column], buckets, buckets.close())

    def _log(self, name: str, buckets: Buckets, points: list[Point]) -> None:
        self._record.log_points([(name, p.step_of_max, p.maximum) for p in points])
        if name in LOG_COMPANIONS:
            spans = [(LOG_COMPANIONS[name], p.step_of_max, math.log10(p.maximum)) for p in points if p.maximum > 0]
            self._record.log_points(spans)
        if buckets.length > 1:
            self._record.log_points([(f"{name}_median", p.last_step, p.median) for p in points])
