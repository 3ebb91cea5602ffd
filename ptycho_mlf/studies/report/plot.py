"""Pieces of plotly.js figures as plain JSON values. Colours are names the page resolves in its light or dark theme."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .data import Member

Json = dict[str, Any]

COLOURS = 8
"""Colours of the page; further arms repeat them with another dash and marker."""
_DASHES = ("solid", "dash", "dot", "dashdot")
_NARROW = 2.5
"""Values within this factor are drawn on a linear axis."""
_ROOM = 0.05
"""Share of an axis beyond its values, at each end."""
_SYMBOLS = ("circle", "square", "diamond", "triangle-up")


@dataclass(frozen=True)
class Figure:
    """One chart of the page."""

    name: str
    title: str
    caption: str
    traces: list[Json]
    layout: Json
    height: int = 360
    views: tuple[str, ...] = ()
    """Alternatives to choose from; the first is shown at first."""

    def as_json(self) -> Json:
        """For the page's script."""
        return {"id": self.name, "traces": self.traces, "layout": self.layout, "views": list(self.views)}


def numbers(values: ArrayLike) -> Json:
    """An array as base64 of float32, which plotly.js reads directly; NaN is a gap."""
    packed = np.ascontiguousarray(values, dtype="<f4").tobytes()
    return {"dtype": "f4", "bdata": base64.b64encode(packed).decode()}


def rounded(values: Sequence[float]) -> list[float]:
    """A few values as they are, to six digits."""
    return [float(f"{value:.6g}") for value in values]


def colour(arm: int, alpha: float = 1.0) -> str:
    """Name of an arm's colour, for the page to resolve."""
    return f"@{arm % COLOURS}" if alpha == 1.0 else f"@{arm % COLOURS}/{alpha:g}"


def dash(arm: int) -> str:
    """Line style of an arm."""
    return _DASHES[arm // COLOURS % len(_DASHES)]


def symbol(arm: int) -> str:
    """Marker of an arm."""
    return _SYMBOLS[arm // COLOURS % len(_SYMBOLS)]


def trace(arm: int, views: tuple[str, ...] = (), **values: Any) -> Json:
    """A scatter trace, by default a line; `meta` tells the page its arm (-1: none) and views (none: all)."""
    meta = {"arm": arm, "views": list(views)}
    return {"type": "scatter", "mode": "lines", "meta": meta, "showlegend": False, **values}


def axis(title: str, **values: Any) -> Json:
    """An axis with a title."""
    return {"title": {"text": title}, **values}


def linear_axis(title: str, low: float, high: float) -> Json:
    """An axis from a low to a high value with some room."""
    room = max(_ROOM * (high - low), 1e-3 * max(abs(low), abs(high)), 1e-9)
    return axis(title, range=[low - room, high + room])


def value_axis(title: str, low: float, high: float) -> Json:
    """An axis from a low to a high value with some room: logarithmic where they are positive and far apart."""
    if low <= 0 or high / low < _NARROW:
        return linear_axis(title, low, high)
    decades = math.log10(high / low)
    room = _ROOM * decades
    # Few decades: 1, 2, 5 or every digit get a label too.
    step = "D1" if decades < 0.45 else "D2" if decades < 2.5 else 1 if decades < 8 else 0
    ends = [math.log10(low) - room, math.log10(high) + room]
    return axis(title, type="log", range=ends, tickformat="~g", **({"dtick": step} if step else {}))


def label(member: Member) -> str:
    """A run in a hover text."""
    rate = "" if member.learning_rate is None else f", lr {member.learning_rate:g}"
    fate = member.verdict or member.status.lower()
    return f"{safe(member.arm)}, seed {safe(member.seed)}{rate}<br>{fate} · {member.run_id[:8]}"


def safe(text: str) -> str:
    """Text in plotly labels, which read some HTML."""
    return escape(text, quote=False)
