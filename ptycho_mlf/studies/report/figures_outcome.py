"""Time to failure, final quality, and what the last weights lose against the best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ..statistics.survival import SurvivalCurve
from .data import Member, StudyData
from .estimates import ENDED, MEASURES, Quality
from .figures_training import FEW
from .plot import (
    Figure,
    Json,
    axis,
    colour,
    dash,
    label,
    linear_axis,
    numbers,
    rounded,
    safe,
    symbol,
    trace,
    value_axis,
)
from .reproduce import varying
from .texts import plural

CURVES, BANDS = "curves", "with bands"
_ROW = 44
"""Height per arm, px."""
_NONE: Json = {"width": 0}


def survival_figure(data: StudyData, curves: Mapping[str, SurvivalCurve]) -> Figure | None:
    """Kaplan-Meier curves with their bands and marks where runs are censored; None without any run to tell from."""
    if not curves:
        return None
    last = max(curve.steps[-1] for curve in curves.values())
    traces: list[Json] = []
    for index, arm in enumerate(data.arms):
        if arm in curves:
            traces += _survival_traces(index, arm, curves[arm], (BANDS,) if len(curves) > FEW else ())
    mixed = any(varying(data.of(arm)) for arm in curves)
    caption = (
        "Share of runs that have not crashed yet (Kaplan-Meier) with pointwise 95 % band; a tick marks runs that ended "
        "without a crash." + (" All settings of an arm are taken together." if mixed else "")
    )
    layout = {
        "xaxis": axis("optimizer step", range=[0, last * 1.02], rangemode="tozero"),
        "yaxis": axis("share not crashed", range=[-0.03, 1.05], tickformat=".0%"),
    }
    views = (CURVES, BANDS) if len(curves) > FEW else ()
    return Figure("fig-survival", "Runs that have not crashed yet", caption, traces, layout, views=views)


def quality_figures(data: StudyData, found: Sequence[Quality]) -> list[Figure]:
    """One per measure: every run as a point, median and quartiles over all seeds as a box."""
    figures: list[Figure] = []
    for metric, name in MEASURES.items():
        ends = [m.metrics[metric.format("best")] for m in data.members if metric.format("best") in m.metrics]
        if not ends:
            continue
        traces: list[Json] = []
        for index, quality in enumerate(found):
            traces += _strip(index, data.of(quality.arm), quality, metric, name, min(ends))
        rows = list(range(len(found)))
        ticks = [safe(_shortened(quality.arm)) for quality in found]
        layout = {
            "xaxis": linear_axis("best weights", min(ends), max(ends)),
            "yaxis": axis("", tickvals=rows, ticktext=ticks, range=[len(rows) - 0.4, -0.6], showgrid=False),
        }
        caption = "Points: runs, hollow where crashed. Box: quartiles over all seeds, line: median."
        height = 100 + _ROW * len(found)
        slug = metric.rpartition("/")[2].format("best").replace("_", "-")
        figures.append(Figure(f"fig-{slug}", _capital(name), caption, traces, layout, height))
    return figures


def gap_figure(data: StudyData) -> Figure | None:
    """Lowest against last validation loss of every run; above the diagonal is what was lost again."""
    traces: list[Json] = []
    lowest: list[float] = []
    values: list[float] = []
    for index, arm in enumerate(data.arms):
        points = [(m, _pair(m)) for m in data.of(arm)]
        found = [(m, pair) for m, pair in points if pair is not None]
        if not found:
            continue
        x, y = [one for _, (one, _) in found], [one for _, (_, one) in found]
        lowest += x
        values += [*x, *y]
        traces.append(
            trace(
                index,
                x=rounded(x),
                y=rounded(y),
                mode="markers",
                text=[label(m) for m, _ in found],
                marker=_markers(index, [m for m, _ in found]),
                hovertemplate="%{text}<br>lowest %{x:.4g}, last %{y:.4g}<extra></extra>",
            )
        )
    if not values:
        return None
    low, high = min(values), max(values)
    line = {"color": "@soft", "width": 1, "dash": "dot"}
    traces.append(trace(-1, x=[low, high], y=[low, high], line=line, hoverinfo="skip"))
    x_axis = value_axis("lowest validation loss", low, max(lowest))
    layout = {"xaxis": x_axis, "yaxis": value_axis("validation loss of the last weights", low, high)}
    caption = (
        "One point per run, hollow where crashed. On the dotted diagonal the last weights are the best ones; far above "
        "it, the run lost what it had learned. Runs whose last loss is not finite are not shown."
    )
    return Figure("fig-gap", "Last against lowest validation loss", caption, traces, layout)


def _survival_traces(index: int, arm: str, curve: SurvivalCurve, views: tuple[str, ...]) -> list[Json]:
    steps, share = [0.0, *curve.steps], [1.0, *curve.survival]
    # The band is undefined until the first failure and after the last run: there it is not drawn.
    low, high = np.array([math.nan, *curve.low]), np.array([math.nan, *curve.high])
    traces: list[Json] = []
    inside = np.flatnonzero(np.isfinite(low) & np.isfinite(high))
    if len(inside):
        ends = [*steps[1:], steps[-1]]
        x = [edge for at in inside for edge in (steps[at], ends[at])]
        bottom, top = (np.repeat(edge[inside], 2) for edge in (low, high))
        y = numbers(np.concatenate([top, bottom[::-1]]))
        fill = colour(index, 0.15)
        traces.append(
            trace(
                index,
                views,
                x=numbers([*x, *x[::-1]]),
                y=y,
                fill="toself",
                fillcolor=fill,
                line=_NONE,
                hoverinfo="skip",
            )
        )
    hover = f"<b>{safe(arm)}</b><br>after %{{x:.0f}} steps %{{y:.0%}} left<extra></extra>"
    line = {"color": colour(index), "width": 2, "dash": dash(index), "shape": "hv"}
    traces.append(trace(index, x=numbers(steps), y=numbers(share), line=line, hovertemplate=hover))
    # Where the curve goes on without a fall, only censored runs ended.
    before = [1.0, *curve.survival[:-1]]
    ended = [k for k, value in enumerate(curve.survival) if value == before[k]]
    if ended:
        marker = {"symbol": "line-ns-open", "size": 10, "color": colour(index)}
        x, y = [curve.steps[k] for k in ended], [curve.survival[k] for k in ended]
        traces.append(trace(index, x=x, y=y, mode="markers", marker=marker, hoverinfo="skip"))
    return traces


def _strip(index: int, members: Sequence[Member], quality: Quality, metric: str, name: str, least: float) -> list[Json]:
    """Points and box of one arm; runs without a value are told of at the lower end of the axis."""
    ended = [m for m in members if m.outcome in ENDED]
    found = [(m, m.metrics[metric.format("best")]) for m in ended if metric.format("best") in m.metrics]
    absent = len(ended) - len(found)
    if not found:
        words = [f"{plural(absent, 'run')} without a value"] if absent else []
        place: Json = {"mode": "text", "textposition": "middle right", "textfont": {"color": colour(index)}}
        return [trace(index, x=[least], y=[index], text=words, hoverinfo="skip", **place)] if words else []
    traces: list[Json] = []
    over = quality.best[name]
    box = [] if over is None else [v for v in (over.all.q25, over.all.median, over.all.q75) if v is not None]
    if len(box) == 3 and all(math.isfinite(value) for value in box):
        low, middle, high = box
        top, bottom = index - 0.3, index + 0.3
        thin, thick = ({"color": colour(index), "width": width} for width in (1, 3))
        x, y, fill = [low, high, high, low, low], [top, top, bottom, bottom, top], colour(index, 0.15)
        traces.append(trace(index, x=x, y=y, fill="toself", fillcolor=fill, line=thin, hoverinfo="skip"))
        traces.append(trace(index, x=[middle] * 2, y=[top, bottom], line=thick, hoverinfo="skip"))
    # Spread by order, not by chance: the same data give the same picture.
    shift = [0.22 * ((k * 0.618) % 1 - 0.5) * 2 if len(found) > 1 else 0.0 for k in range(len(found))]
    traces.append(
        trace(
            index,
            x=rounded([value for _, value in found]),
            y=rounded([index + part for part in shift]),
            mode="markers",
            text=[label(m) for m, _ in found],
            marker=_markers(index, [m for m, _ in found]),
            hovertemplate="%{text}<br>%{x:.3f}<extra></extra>",
        )
    )
    return traces


def _markers(index: int, members: Sequence[Member]) -> Json:
    shape = symbol(index)
    symbols = [f"{shape}-open" if member.outcome == "crashed" else shape for member in members]
    return {"symbol": symbols, "size": 8, "color": colour(index), "line": {"width": 1.5, "color": colour(index)}}


def _pair(member: Member) -> tuple[float, float] | None:
    best, last = member.metrics.get("val/loss_best"), member.metrics.get("val/loss_last")
    return None if best is None or last is None else (best, last)


def _shortened(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:11]}…{name[-12:]}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
