"""P(crash) and the final loss over the learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ..statistics.interval import Interval
from ..statistics.proportion import Proportion
from ..threshold.threshold import HALF, TENTH, Threshold
from .data import StudyData
from .estimates import Stability
from .plot import Figure, Json, colour, dash, numbers, rounded, safe, symbol, trace, value_axis
from .rates import MOST_RATES, RateAnswer

_POINTS = 200
_DODGE = 0.012
"""Distance between the points of two arms at one rate, as a share of the axis."""


def crash_figure(data: StudyData, found: list[Stability], answers: Mapping[str, RateAnswer]) -> Figure | None:
    """Counts with Wilson bars, fitted curve, and the intervals of LR50 and LR10; None without several rates."""
    thresholds = {arm: answer.threshold for arm, answer in answers.items() if answer.threshold is not None}
    if not thresholds:
        return None
    low, high = min(t.low for t in thresholds.values()), max(t.high for t in thresholds.values())
    traces: list[Json] = []
    for index, one in enumerate(found):
        if one.arm not in thresholds:
            continue
        threshold = thresholds[one.arm]
        traces += [_curve(index, one.arm, threshold)] if threshold.lr50 and threshold.slope else []
        traces += _interval(index, one.arm, "LR50", threshold.lr50, threshold.lr50_interval, HALF, (low, high))
        traces += _interval(index, one.arm, "LR10", threshold.lr10, threshold.lr10_interval, TENTH, (low, high))
        # Arms side by side: they are often tried at the same rates.
        aside = list(thresholds).index(one.arm) - (len(thresholds) - 1) / 2
        traces.append(_counts(index, one, threshold, (high / low) ** (_DODGE * aside)))
    y = {"title": {"text": "P(crash)"}, "range": [-0.03, 1.03], "tickformat": ".0%"}
    caption = (
        "Points: share of crashed runs with 95 % Wilson interval, at each rate or, where there are many, in parts of "
        "the range. Line: logistic curve in log10 of the rate, fitted with Firth's penalty. Horizontal bars: LR50 and "
        "LR10 with 95 % profile-likelihood interval."
    )
    layout = {"xaxis": value_axis("peak learning rate", low, high), "yaxis": y}
    return Figure("fig-crash", "Crash probability over the learning rate", caption, traces, layout, height=400)


def loss_figure(data: StudyData, answers: Mapping[str, RateAnswer]) -> Figure | None:
    """Median final loss at every rate, with the stable range; None without several rates."""
    traces: list[Json] = []
    rates: list[float] = []
    values: list[float] = []
    for index, arm in enumerate(data.arms):
        losses = answers[arm].losses if arm in answers else None
        if losses is None:
            continue
        x = [10**at for at in losses.x_R]
        rates += x
        values += losses.l_med_R
        hover = f"<b>{safe(arm)}</b><br>lr %{{x:.3g}}: %{{y:.4g}}<extra></extra>"
        line, marker = {"color": colour(index), "dash": dash(index)}, {"symbol": symbol(index), "size": 6}
        y = rounded(losses.l_med_R)
        traces.append(
            trace(index, x=rounded(x), y=y, mode="lines+markers", line=line, marker=marker, hovertemplate=hover)
        )
        stable = answers[arm].stable
        if stable is not None:
            wide = {"color": colour(index, 0.35), "width": 10}
            text = f"<b>{safe(arm)}</b><br>stable over {stable.decades:.2f} decades<extra></extra>"
            ends = rounded([stable.low, stable.high])
            traces.append(trace(index, x=ends, y=[losses.l_star] * 2, line=wide, hovertemplate=text))
    if not traces:
        return None
    x_axis, y_axis = (
        value_axis("peak learning rate", min(rates), max(rates)),
        value_axis("final validation loss", min(values), max(values)),
    )
    caption = (
        "Median over seeds of the last validation loss, at most the initial one. Broad bar: stable range, where that "
        "median is within 5 % of the possible gain of the best rate."
    )
    layout = {"xaxis": x_axis, "yaxis": y_axis}
    return Figure("fig-rate-loss", "Final loss over the learning rate", caption, traces, layout, height=400)


def _curve(index: int, arm: str, threshold: Threshold) -> Json:
    assert threshold.lr50 is not None
    assert threshold.slope is not None
    x = np.linspace(math.log10(threshold.low), math.log10(threshold.high), _POINTS)
    # exp of a large number is fine here: 1 / infinity is 0.
    with np.errstate(over="ignore"):
        y = 1 / (1 + np.exp(-threshold.slope * (x - math.log10(threshold.lr50))))
    hover = f"<b>{safe(arm)}</b><br>lr %{{x:.3g}}: P(crash) = %{{y:.1%}}<extra></extra>"
    line = {"color": colour(index), "width": 2, "dash": dash(index)}
    return trace(index, x=numbers(10**x), y=numbers(y), line=line, hovertemplate=hover)


def _interval(
    index: int,
    arm: str,
    name: str,
    value: float | None,
    interval: Interval,
    level: float,
    ends: tuple[float, float],
) -> list[Json]:
    """A horizontal bar; an open end reaches the end of the range."""
    low, high = max(interval.low, ends[0]), min(interval.high, ends[1])
    if low >= high or (interval.low <= 0 and math.isinf(interval.high)):
        return []
    text = f"<b>{safe(arm)}</b><br>{name}: {_shown(interval.low)} to {_shown(interval.high)}<extra></extra>"
    line = {"color": colour(index, 0.45), "width": 6}
    bar = trace(index, x=rounded([low, high]), y=[level] * 2, line=line, hovertemplate=text)
    if value is None:
        return [bar]
    marker = {"symbol": "line-ns-open", "size": 16, "color": colour(index), "line": {"width": 3}}
    return [bar, trace(index, x=[value], y=[level], mode="markers", marker=marker, hovertemplate=text)]


def _counts(index: int, one: Stability, threshold: Threshold, dodge: float) -> Json:
    points: list[tuple[float, Proportion]] = [(rate, crash) for rate, crash in one.rates.items() if crash.n]
    if len(points) > MOST_RATES:
        points = [(math.sqrt(part.low * part.high), part.crashes) for part in threshold.bins if part.crashes.n]
    shares = [crash.k / crash.n for _, crash in points]
    above = [crash.interval.high - share for (_, crash), share in zip(points, shares, strict=True)]
    below = [share - crash.interval.low for (_, crash), share in zip(points, shares, strict=True)]
    bars = {"type": "data", "symmetric": False, "array": rounded(above), "arrayminus": rounded(below)}
    return trace(
        index,
        x=rounded([rate * dodge for rate, _ in points]),
        y=rounded(shares),
        mode="markers",
        marker={"symbol": symbol(index), "size": 9, "color": colour(index)},
        error_y={**bars, "color": colour(index), "thickness": 1.3, "width": 4},
        text=[f"{crash.k} of {crash.n} crashed" for _, crash in points],
        hovertemplate=f"<b>{safe(one.arm)}</b><br>lr about %{{x:.3g}}: %{{text}}<extra></extra>",
    )


def _shown(end: float) -> str:
    return "open" if end <= 0 or math.isinf(end) else f"{end:.3g}"
