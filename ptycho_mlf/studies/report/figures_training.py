"""Bands over seeds: training loss, validation loss and gradient norm of every arm."""

from __future__ import annotations

import numpy as np

from .curves import Band, series_band, validation_band
from .data import Floats, Member, Series, StudyData
from .plot import Figure, Json, axis, colour, dash, label, numbers, safe, trace, value_axis

SINGLE_POINTS = 100
"""Most points of a single run."""
MEDIANS, BANDS, RANGE, SINGLE = "medians", "median and quartiles", "with minimum and maximum", "single runs"
FEW = 4
"""Bands of more arms than this hide each other: medians alone are shown at first."""
_VISIBLE = 30
"""An axis reaches at first so many times the largest median at the beginning; one double click shows all."""
_ROOM = 2
"""And at most so many times the largest finite quartile."""
_HOVER = "%{x:.0f} steps: %{y:.4g}"


def training_figures(data: StudyData) -> list[Figure]:
    """Training loss, validation loss and gradient norm; those without any run to show are left out."""
    spread = (
        "Line: median over the runs of an arm; band: quartiles. A run that crashed and ended goes on as what it ended "
        "with, one that is not finite any more above the axis; a run that was killed or given up leaves the band. A "
        "double click shows all."
    )
    same = "Lines and bands as for the training loss."
    floor = _common_floor(data)
    dotted = same if floor is None else f"{same} Dotted: the best constant object."
    found = [
        _figure(data, "loss", "Training loss", "loss of the batch", spread, None),
        _figure(data, "validations", "Validation loss", "validation loss (mae)", dotted, floor),
        _figure(data, "grad_norm", "Gradient norm", "norm before clipping", same, None),
    ]
    return [figure for figure in found if figure is not None]


def _figure(data: StudyData, column: str, title: str, unit: str, caption: str, floor: float | None) -> Figure | None:
    bands: dict[int, Band] = {}
    for index, arm in enumerate(data.arms):
        members = data.of(arm)
        band = validation_band(members) if column == "validations" else series_band(members, column, data.bucket)
        if band is not None:
            bands[index] = band
    if not bands:
        return None
    low, high, cap = _limits(list(bands.values()))
    traces = [one for arm, band in bands.items() for one in _band_traces(arm, data.arms[arm], band, cap)]
    for arm in bands:
        traces += [one for member in data.of(data.arms[arm]) for one in _single(arm, member, column, data.bucket, cap)]
    last = max(float(band.step_K[-1]) for band in bands.values())
    if floor is not None:
        line = {"color": "@ink", "width": 1.5, "dash": "dot"}
        hover = "best constant object: %{y:.4g}<extra></extra>"
        traces.append(trace(-1, x=[0, last], y=[floor, floor], line=line, hovertemplate=hover))
    layout = {"xaxis": axis("optimizer step", range=[0, last * 1.01]), "yaxis": value_axis(unit, low, high)}
    return Figure(
        f"fig-{column.replace('_', '-')}",
        title,
        caption,
        traces,
        layout,
        views=(*((MEDIANS,) if len(bands) > FEW else ()), BANDS, RANGE, SINGLE),
    )


def _limits(bands: list[Band]) -> tuple[float, float, float]:
    """Lower and upper end of the axis at first, and what stands for infinity: beyond both."""
    edges = {
        name: np.concatenate([getattr(band, name) for band in bands])
        for name in ("low_K", "lower_K", "median_K", "upper_K", "high_K")
    }
    found = {name: edge[np.isfinite(edge)] for name, edge in edges.items()}
    if not len(found["lower_K"]):
        return 0.1, 10.0, 1e3
    low, top = float(found["lower_K"].min()), float(found["high_K"].max())
    if low <= 0:
        return low, top, top + 100 * max(top - low, 1e-6)
    usual = float(found["upper_K"].max()) if len(found["upper_K"]) else top
    high = min(top, _ROOM * usual)
    begin = max([float(band.median_K[0]) for band in bands if np.isfinite(band.median_K[0])], default=top)
    return low, max(min(high, begin * _VISIBLE), low), top * 100


def _band_traces(arm: int, name: str, band: Band, cap: float) -> list[Json]:
    median = np.where(np.isfinite(band.median_K), band.median_K, np.nan)
    hover = f"<b>{safe(name)}</b><br>{_HOVER}<br>%{{customdata:.0f}} runs<extra></extra>"
    line = {"color": colour(arm), "width": 2, "dash": dash(arm)}
    return [
        _area(arm, (RANGE,), band, band.low_K, band.high_K, cap, 0.13),
        _area(arm, (BANDS, RANGE), band, band.lower_K, band.upper_K, cap, 0.28),
        trace(
            arm,
            (MEDIANS, BANDS, RANGE),
            x=numbers(band.step_K),
            y=numbers(median),
            customdata=numbers(band.runs_K),
            line=line,
            hovertemplate=hover,
        ),
    ]


def _area(arm: int, views: tuple[str, ...], band: Band, low: Floats, high: Floats, cap: float, alpha: float) -> Json:
    there = band.runs_K > 0
    steps = band.step_K[there]
    bottom, top = (np.where(np.isfinite(edge[there]), edge[there], cap) for edge in (low, high))
    return trace(
        arm,
        views,
        x=numbers(np.concatenate([steps, steps[::-1]])),
        y=numbers(np.concatenate([top, bottom[::-1]])),
        fill="toself",
        fillcolor=colour(arm, alpha),
        line={"width": 0},
        hoverinfo="skip",
    )


def _single(arm: int, member: Member, column: str, bucket: int, cap: float) -> list[Json]:
    found = getattr(member, column)
    if found is None:
        return []
    if isinstance(found, Series):
        if not len(found):
            return []
        group = -(-len(found) // SINGLE_POINTS)
        values = np.maximum.reduceat(found.high_K, np.arange(0, len(found), group))
        # Hundreds of runs: steps that are evenly apart are not written out.
        x: Json = {"x0": 0, "dx": group * bucket}
    else:
        values, x = found.loss_E, {"x": numbers(found.step_E)}
    line = {"color": colour(arm), "width": 1, "dash": "dot" if member.outcome == "crashed" else dash(arm)}
    hover = f"{label(member)}<br>{_HOVER}<extra></extra>"
    y = numbers(np.where(np.isfinite(values), values, cap))
    return [trace(arm, (SINGLE,), **x, y=y, line=line, hovertemplate=hover)]


def _common_floor(data: StudyData) -> float | None:
    """The floor, where all runs have the same."""
    floors = {member.metrics["floor/best"] for member in data.members if "floor/best" in member.metrics}
    return floors.pop() if len(floors) == 1 else None
