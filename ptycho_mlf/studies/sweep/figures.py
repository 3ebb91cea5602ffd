"""Interactive figures of a sweep: history, importance, parallel coordinates, slices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .grammar import Choices, Interval, Range
from .points import SHOWN, Fate, Point, shown

COLOURS: Mapping[Fate, str] = {
    "healthy": "#009e73",
    "not healthy": "#e69f00",
    "crashed": "#d55e00",
    "given up": "#999999",
}
"""Okabe and Ito's colours, told apart by most colour-blind people."""
_SYMBOLS: Mapping[Fate, str] = {
    "healthy": "circle",
    "not healthy": "diamond",
    "crashed": "x",
    "given up": "circle-open",
}
_UNUSED = "not used"
_COLUMNS = 3
_TICKS = 6


def history_figure(points: Sequence[Point], objective: str, maximise: bool) -> go.Figure:
    """Value by trial, and the best eligible one so far."""
    figure = go.Figure(layout=_layout(420))
    for fate in SHOWN:
        some = [point for point in points if point.fate == fate]
        if some:
            figure.add_trace(_markers([point.number for point in some], some, fate, legend=True))
    best = _best_so_far(points, maximise)
    if best:
        line = {"color": "#000000", "width": 1.5, "shape": "hv"}
        numbers, values = zip(*best, strict=True)
        figure.add_trace(go.Scatter(x=numbers, y=values, mode="lines", name="best so far", line=line))
    figure.update_xaxes(title_text="trial")
    figure.update_yaxes(title_text=objective)
    return figure


def importance_figure(shares: Mapping[str, float]) -> go.Figure:
    """Shares as bars, the largest on top."""
    names = list(shares)[::-1]
    bars = go.Bar(
        x=[shares[name] for name in names],
        y=names,
        orientation="h",
        marker={"color": "#0072b2"},
        text=[f"{shares[name]:.0%}" for name in names],
        textangle=0,
        hoverinfo="skip",
    )
    figure = go.Figure(bars, layout=_layout(110 + 32 * len(names)))
    figure.update_xaxes(title_text="share", tickformat=".0%", range=[0, 1])
    figure.update_yaxes(automargin=True)
    return figure


def parallel_figure(points: Sequence[Point], ranges: Mapping[str, Range], objective: str) -> go.Figure:
    """Every point as a line through its settings; drag along an axis to select."""
    some = [point for point in points if point.value is not None]
    values = [point.value for point in some]
    dimensions = [_dimension(name, found, some) for name, found in ranges.items()]
    fates = [fate for fate in SHOWN if any(point.fate == fate for point in some)]
    dimensions.append(
        {
            "label": "fate",
            "values": [fates.index(point.fate) for point in some],
            "tickvals": list(range(len(fates))),
            "ticktext": fates,
            "range": [-0.2, len(fates) - 0.8],
        }
    )
    dimensions.append({"label": objective, "values": values})
    line = {"color": values, "colorscale": "Viridis", "showscale": True, "colorbar": {"title": {"text": objective}}}
    layout = _layout(460) | {"margin": {"l": 90, "r": 40, "t": 70, "b": 40}}
    return go.Figure(go.Parcoords(line=line, dimensions=dimensions, labelangle=-15), layout=layout)


def slice_figure(points: Sequence[Point], ranges: Mapping[str, Range], objective: str) -> go.Figure:
    """Value by each parameter; points that do not use it are left out."""
    rows = math.ceil(len(ranges) / _COLUMNS)
    figure = make_subplots(rows, min(_COLUMNS, len(ranges)), shared_yaxes=True, vertical_spacing=0.28 / rows)
    told: set[Fate] = set()
    for place, (name, found) in enumerate(ranges.items()):
        row, column = place // _COLUMNS + 1, place % _COLUMNS + 1
        for fate in SHOWN:
            some = [point for point in points if point.fate == fate and name in point.params]
            if some:
                x = [_axis_value(found, point.params[name]) for point in some]
                figure.add_trace(_markers(x, some, fate, legend=fate not in told), row=row, col=column)
                told.add(fate)
        figure.update_xaxes(_axis(name, found), row=row, col=column)
        if column == 1:
            figure.update_yaxes(title_text=objective, row=row, col=column)
    figure.update_layout(_layout(120 + 260 * rows))
    return figure


def _layout(height: int) -> dict[str, Any]:
    return {
        "template": "plotly_white",
        "height": height,
        "margin": {"l": 70, "r": 20, "t": 40, "b": 60},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "font": {"family": "system-ui,sans-serif", "size": 13},
    }


def _markers(x: Sequence[Any], points: Sequence[Point], fate: Fate, *, legend: bool) -> go.Scatter:
    hover = [f"trial {point.number}<br>{'<br>'.join(_lines(point))}" for point in points]
    return go.Scatter(
        x=list(x),
        y=[point.value for point in points],
        mode="markers",
        name=fate,
        legendgroup=fate,
        showlegend=legend,
        marker={"color": COLOURS[fate], "symbol": _SYMBOLS[fate], "size": 9, "opacity": 0.85},
        text=hover,
        hovertemplate="%{text}<extra>%{y:.4g}</extra>",
    )


def _lines(point: Point) -> list[str]:
    return [f"{name} = {shown(value)}" for name, value in point.params.items()] + [", ".join(point.verdicts)]


def _best_so_far(points: Sequence[Point], maximise: bool) -> list[tuple[int, float]]:
    best: list[tuple[int, float]] = []
    for point in points:
        if point.fate == "healthy" and point.value is not None:
            better = max if maximise else min
            best.append((point.number, better(point.value, best[-1][1]) if best else point.value))
    return best


def _axis_value(found: Range, value: Any) -> Any:
    return shown(value) if isinstance(found, Choices) else value


def _axis(name: str, found: Range) -> dict[str, Any]:
    axis: dict[str, Any] = {"title": {"text": name}}
    if isinstance(found, Choices):
        return axis | {
            "type": "category",
            "categoryorder": "array",
            "categoryarray": [shown(value) for value in found.values],
        }
    return axis | ({"type": "log", "exponentformat": "power"} if found.log else {"type": "linear"})


def _dimension(name: str, found: Range, points: Sequence[Point]) -> dict[str, Any]:
    """An axis of the parallel coordinates, with a place of its own for points that do not use the parameter."""
    if isinstance(found, Choices):
        places = {value: float(place) for place, value in enumerate(found.values)}
        ticks = [(place, shown(value)) for value, place in places.items()]
        values = [places[point.params[name]] if name in point.params else None for point in points]
        low, high = -0.2, len(places) - 0.8
        aside = -1.0
    else:
        scale = math.log10 if found.log else float
        low, high = scale(found.low), scale(found.high)
        ticks = _decades(low, high) if found.log else _even(found)
        values = [scale(point.params[name]) if name in point.params else None for point in points]
        aside = low - 0.15 * (high - low)
    if None in values:
        ticks, low = [(aside, _UNUSED), *ticks], min(low, aside - 0.05 * (high - low))
    return {
        "label": name,
        "values": [aside if value is None else value for value in values],
        "tickvals": [place for place, _ in ticks],
        "ticktext": [text for _, text in ticks],
        "range": [low, high],
    }


def _decades(low: float, high: float) -> list[tuple[float, str]]:
    """Ticks of a logarithmic axis: its ends and the decades between."""
    between = [float(k) for k in range(math.ceil(low + 0.1), math.floor(high - 0.1) + 1)]
    return [(place, f"{10**place:.3g}") for place in (low, *between, high)]


def _even(found: Interval) -> list[tuple[float, str]]:
    """Ticks of a linear axis."""
    count = min(_TICKS, int(found.high - found.low) + 1) if found.whole else _TICKS
    places = [found.low + (found.high - found.low) * k / (count - 1) for k in range(count)]
    if found.whole:
        places = list(dict.fromkeys(round(place) for place in places))
    return [(place, f"{place:.4g}") for place in places]
