"""The step trace: what is recorded comes back, up to and including the first non-finite step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ptycho_mlf.telemetry.trace import COLUMNS, FLUSH_EVERY, StepTrace, read_trace, write_trace


def recorded(losses: list[float], norms: list[float] | None = None) -> StepTrace:
    trace = StepTrace(torch.device("cpu"))
    for step, loss in enumerate(losses):
        norm = norms[step] if norms else 1.0 + step
        contrast = {"contrast_spatial": 0.2, "contrast_cross_pattern": 0.1}
        values = {
            **contrast,
            "grad_norm_preclip": norm,
            "grad_norm_postclip": 0.5,
            "clip_fraction": 0.25,
            "update_ratio": 1e-3,
        }
        trace.record(
            step, step // 3, 0.1 * step, loss=torch.tensor(loss), **{k: torch.tensor(v) for k, v in values.items()}
        )
    return trace


def test_rows_come_back_in_order_over_several_flushes(tmp_path):
    trace = recorded([4.0, 3.0, 2.0])
    assert trace.flush()["loss"].tolist() == [4.0, 3.0, 2.0]
    assert len(trace.flush()) == 0
    rows = trace.rows()
    assert rows["epoch"].tolist() == [0, 0, 0]
    write_trace(rows, tmp_path / "trace.parquet")
    stored = read_trace(tmp_path / "trace.parquet")
    for column in COLUMNS:
        np.testing.assert_array_equal(stored[column], rows[column])
    assert [p.name for p in tmp_path.iterdir()] == ["trace.parquet"]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["loss", "norm"])
def test_the_first_nonfinite_step_is_the_last_row(bad, where):
    losses, norms = [1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 1.0, 1.0]
    (losses if where == "loss" else norms)[2] = bad
    trace = recorded(losses, norms)
    assert trace.flush()["step"].tolist() == [0, 1, 2]
    assert trace.nonfinite_step == 2
    trace.record(4, 1, 0.1, **{c: torch.tensor(1.0) for c in COLUMNS[3:]})
    assert len(trace.flush()) == 0
    assert len(trace.rows()) == 3


def test_it_says_when_it_is_full():
    trace = recorded([1.0] * (FLUSH_EVERY - 1))
    assert not trace.is_full
    trace = recorded([1.0] * FLUSH_EVERY)
    assert trace.is_full
    assert len(trace.flush()) == FLUSH_EVERY
    assert not trace.is_full
