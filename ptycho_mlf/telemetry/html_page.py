"""Self-contained HTML pages in one look: text is escaped, figures are embedded, nothing is loaded from anywhere."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Literal

from matplotlib import rc_context
from matplotlib.figure import Figure

from ptycho_mlf.drawing import DPI, png

_STYLING = threading.Lock()
"""Matplotlib's settings belong to the process."""

_STYLE = """
:root{color-scheme:light}
body{font:15px/1.5 system-ui,sans-serif;color:#1c1c1c;background:#fff;max-width:1240px;margin:2rem auto;
padding:0 1.5rem}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .4rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}
dl{display:grid;grid-template-columns:fit-content(42%) 1fr;gap:.1rem 1.2rem;margin:.5rem 0}
dt{color:#666}dd{margin:0;overflow-wrap:anywhere}
ul{margin:.3rem 0;padding-left:1.2rem}.note{color:#555;font-size:.9rem}
.found{background:#fff5f2;border-left:4px solid #d55e00;padding:.5rem 1rem;overflow-wrap:anywhere}
.fine{background:#f1f8f4;border-left:4px solid #009e73;padding:.5rem 1rem;overflow-wrap:anywhere}
.wide{overflow-x:auto}img{display:block;max-width:100%;height:auto}
table{border-collapse:collapse;font:12px/1.35 ui-monospace,monospace;white-space:nowrap}
th,td{padding:.15rem .6rem;text-align:right}
th{font-family:system-ui,sans-serif;border-bottom:1px solid #999;vertical-align:bottom;white-space:normal}
td.text,th.text{text-align:left}
th:first-child,td:first-child{position:sticky;left:0;background:#fff;padding-left:0}
tr:nth-child(even) td{background:#f6f6f6}
summary{cursor:pointer;margin:.4rem 0}
@media(max-width:700px){
body{margin:1rem auto;padding:0 .8rem}
dl{gap:.3rem .8rem}
img{max-width:none}th:first-child,td:first-child{position:static}
}
"""
"""On a narrow screen a figure keeps its size and is scrolled, like a wide table: shrunk, nobody could read it."""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page; `parts` are HTML."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += f"<title>{escape(title)}</title><style>{_STYLE}</style>"
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


def bullets(texts: Iterable[str], kind: str, lead: str) -> str:
    """Several texts after a leading one, in a box with the name of a style."""
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<div class="{escape(kind)}">{escape(lead)}<ul>{items}</ul></div>'


def fold(title: str, *parts: str, shown: bool) -> str:
    """Something that is unfolded by a click; `parts` are HTML."""
    return f"<details{' open' if shown else ''}><summary>{escape(title)}</summary>{''.join(parts)}</details>"


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; floats are given three digits, None stays empty, columns of text are aligned to the left."""
    cells = [list(row) for row in rows]
    kinds = [
        " class=text" if any(isinstance(row[k], str) and row[k] for row in cells) else "" for k in range(len(heads))
    ]
    head = "".join(f"<th{kind}>{escape(text)}</th>" for text, kind in zip(heads, kinds, strict=True))
    lines = (
        "".join(f"<td{kind}>{escape(_cell(cell))}</td>" for cell, kind in zip(row, kinds, strict=True)) for row in cells
    )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def image(figure: Figure, description: str, form: Literal["png", "svg"] = "png", *, drawn: Path | None = None) -> str:
    """A figure, embedded, shown at its size in inches; its bytes depend on the content only.

    As an image, SVG can neither load nor execute anything. It suits figures of few elements.

    Args:
        figure: drawn at 150 dpi.
        description: for those who cannot see it.
        form: PNG or SVG.
        drawn: the file with this figure in this form, where there is one: to draw takes longer than to read.
    """
    if drawn is not None:
        content = drawn.read_bytes()
    else:
        content = png(figure) if form == "png" else _svg(figure, description)
    kind = {"png": "image/png", "svg": "image/svg+xml"}[form]
    source = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    width = round(figure.get_figwidth() * 96)
    return f'<div class="wide"><img alt="{escape(description)}" width="{width}" src="{source}"></div>'


def _svg(figure: Figure, description: str) -> bytes:
    drawn = io.BytesIO()
    with _STYLING, rc_context({"savefig.facecolor": "white", "svg.hashsalt": description}):
        figure.savefig(drawn, format="svg", dpi=DPI, metadata={"Date": None, "Creator": None})
    return drawn.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
