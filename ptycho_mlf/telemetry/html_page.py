"""Self-contained HTML pages in one look: text is escaped, figures are embedded, nothing is loaded from anywhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from matplotlib import rc_context
from matplotlib.figure import Figure

_STYLE = """
:root{color-scheme:light}
body{font:15px/1.5 system-ui,sans-serif;color:#1c1c1c;background:#fff;max-width:1180px;margin:2rem auto;
padding:0 1.5rem}
h1{font-size:1.5rem;margin:0 0 .4rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1.2rem;margin:.5rem 0}
dt{color:#666}dd{margin:0;overflow-wrap:anywhere}
.found{background:#fff5f2;border-left:4px solid #d55e00;padding:.5rem 1rem}
img{display:block;max-width:100%;height:auto}.wide{overflow-x:auto}
table{border-collapse:collapse;font:12px/1.35 ui-monospace,monospace;white-space:nowrap}
th,td{padding:.15rem .6rem;text-align:right}th{font-family:system-ui,sans-serif;border-bottom:1px solid #999}
td:first-child,th:first-child{text-align:left}tr:nth-child(even) td{background:#f6f6f6}
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page; `parts` are HTML."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    body = "\n".join(parts)
    lines = ["<!doctype html>", f'<html lang="en"><head>{head}</head><body>', f"<h1>{escape(title)}</h1>", body]
    return "\n".join([*lines, "</body></html>"]) + "\n"


def section(title: str, *parts: str) -> str:
    """A heading and what follows; `parts` are HTML."""
    return "\n".join([f"<h2>{escape(title)}</h2>", *parts])


def paragraph(text: str, kind: str = "") -> str:
    """Text, with the name of a style if it has one."""
    return f'<p class="{escape(kind)}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def pairs(values: Mapping[str, object]) -> str:
    """A list of names and values."""
    items = (f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in values.items())
    return f"<dl>{''.join(items)}</dl>"


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; floats are given three digits, None stays empty."""
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(_cell(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def image(figure: Figure, description: str, dpi: int = 150) -> str:
    """A figure as embedded PNG, shown at its size in inches; its bytes depend on the content only."""
    drawn = io.BytesIO()
    with rc_context({"savefig.facecolor": "white"}):
        figure.savefig(drawn, format="png", dpi=dpi, metadata={"Software": None})
    data = base64.b64encode(drawn.getvalue()).decode()
    width = round(figure.get_figwidth() * 96)
    return f'<img alt="{escape(description)}" width="{width}" src="data:image/png;base64,{data}">'


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
