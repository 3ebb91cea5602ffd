"""Traces in buckets, and bands over the seeds of an arm: a spike stays visible, an infinity counts as the worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from .data import Floats, Member, Series

POINTS = 300
"""Most buckets per run."""
_COLUMNS = ("loss", "grad_norm_preclip")


@dataclass(frozen=True)
class Band:
    """Spread over the runs of an arm (K points). Infinity where that part of the runs is not finite any more."""

    step_K: Floats
    runs_K: Floats
    """How many runs a point is made of."""
    median_K: Floats
    lower_K: Floats
    """First quartile."""
    upper_K: Floats
    """Third quartile."""
    low_K: Floats
    high_K: Floats


def bucket_length(lengths: Sequence[int]) -> int:
    """Steps per bucket so that the longest trace has at most `POINTS`."""
    return max(1, -(-max(lengths, default=1) // POINTS))


def trace_length(path: Path) -> int:
    """Rows of a trace, without reading it."""
    return pq.read_metadata(path).num_rows


def read_series(path: Path, bucket: int) -> tuple[Series, Series]:
    """Loss and gradient norm of a trace in buckets."""
    table = pq.ParquetFile(path).read(columns=list(_COLUMNS))
    loss, grad_norm = (in_buckets(table[name].to_numpy(), bucket) for name in _COLUMNS)
    return loss, grad_norm


def in_buckets(values: Floats, bucket: int) -> Series:
    """Median, minimum and maximum of consecutive values; the last bucket may be shorter. NaN counts as infinity."""
    finite = np.where(np.isfinite(values), values, np.inf)
    whole = len(finite) // bucket * bucket
    parts = [finite[:whole].reshape(-1, bucket)] + ([finite[None, whole:]] if whole < len(finite) else [])
    # The upper of the two middle values: a mean of a number and infinity would be neither.
    median = [np.sort(part, axis=1)[:, part.shape[1] // 2] for part in parts]
    low, high = ([reduce(part, axis=1) for part in parts] for reduce in (np.min, np.max))
    return Series(np.concatenate(median), np.concatenate(low), np.concatenate(high))


def series_band(members: Sequence[Member], column: str, bucket: int) -> Band | None:
    """Band of `loss` or `grad_norm` over runs; None if no run has it.

    A run that ends before the others goes on as what it ended with: infinite if it was not finite any more, its last
    value if it was stopped because its collapse was final. A run that ends without a crash (killed, failed, given up,
    shorter) leaves the band.
    """
    found = [(member, series) for member in members if (series := getattr(member, column)) is not None and len(series)]
    if not found:
        return None
    length = max(len(series) for _, series in found)
    median, low, high = (
        np.stack([_extended(member, getattr(series, part), length) for member, series in found])
        for part in ("median_K", "low_K", "high_K")
    )
    steps = np.arange(length, dtype=np.float64) * bucket + (bucket - 1) / 2
    return _band(steps, median, low, high)


def validation_band(members: Sequence[Member]) -> Band | None:
    """Band of the validation loss over runs, by the rules of `series_band`; None if no run has one."""
    found = [(m, m.validations) for m in members if m.validations is not None and len(m.validations.step_E)]
    if not found:
        return None
    steps = np.unique(np.concatenate([v.step_E for _, v in found]))
    steps = steps[:: max(1, -(-len(steps) // POINTS))]
    rows = np.full((len(found), len(steps)), np.nan)
    for row, (member, validations) in zip(rows, found, strict=True):
        # The latest validation until a step: runs with batches of another size end their epochs elsewhere.
        at = np.searchsorted(validations.step_E, steps, side="right") - 1
        row[:] = np.where(at < 0, np.nan, validations.loss_E[np.maximum(at, 0)])
        beyond = steps > validations.step_E[-1]
        row[beyond] = _tail(member, float(validations.loss_E[-1]))
    return _band(steps, rows, rows, rows)


def _extended(member: Member, values: Floats, length: int) -> Floats:
    tail = np.full(length - len(values), _tail(member, float(values[-1])))
    return np.concatenate([values, tail])


def _tail(member: Member, last: float) -> float:
    if member.outcome != "crashed":
        return np.nan
    return np.inf if member.verdict == "nonfinite" else last


def _band(steps: Floats, median_RK: Floats, low_RK: Floats, high_RK: Floats) -> Band:
    """NaN marks a run that is not there (any more)."""
    there = ~np.isnan(median_RK)
    lower, middle, upper = (_quantile(median_RK, share) for share in (0.25, 0.5, 0.75))
    low = np.where(there, low_RK, np.inf).min(axis=0)
    high = np.where(there, high_RK, -np.inf).max(axis=0)
    return Band(steps, there.sum(axis=0).astype(float), middle, lower, upper, low, high)


def _quantile(values_RK: Floats, share: float) -> Floats:
    """Linear between order statistics, over the runs that are there; infinite where an infinity has a part in it."""
    ordered = np.sort(values_RK, axis=0)  # NaN comes last, after infinity.
    count = (~np.isnan(values_RK)).sum(axis=0)
    place = np.maximum(count - 1, 0) * share
    below = np.floor(place).astype(int)
    part = place - below
    first = np.take_along_axis(ordered, below[None], axis=0)[0]
    second = np.take_along_axis(ordered, np.minimum(below + 1, np.maximum(count - 1, 0))[None], axis=0)[0]
    with np.errstate(invalid="ignore"):
        between = first + part * (second - first)
    return np.where(part == 0, first, np.where(np.isinf(second), np.inf, between))
