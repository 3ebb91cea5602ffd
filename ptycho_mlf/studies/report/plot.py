"""Pieces of plotly.js figures as plain JSON values. Colours are names the page resolves in its light or dark theme."""

from __future__ import annotations

import base64
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


def log_axis(title: str, **values: Any) -> Json:
    """A logarithmic axis that labels decades."""
    return axis(title, type="log", dtick=1, exponentformat="power", **values)


def label(member: Member) -> str:
    """A run in a hover text."""
    rate = "" if member.learning_rate is None else f", lr {member.learning_rate:g}"
    fate = member.verdict or member.status.lower()
    return f"{safe(member.arm)}, seed {safe(member.seed)}{rate}<br>{fate} · {member.run_id[:8]}"


def safe(text: str) -> str:
    """Text in plotly labels, which read some HTML."""
    return escape(text, quote=False)
