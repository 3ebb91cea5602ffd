"""Parts of the page: sections, tables, and the small drawings inside them. Text is escaped."""

from __future__ import annotations

from html import escape

from .plot import COLOURS
from .tables import Interval, Table

_DASHES = ("", "5 3", "1.5 2.5", "6 2 1.5 2")
"""Of arms beyond the number of colours, as in the charts."""
_TALL = 16
"""A table of more rows scrolls."""
_BAR = 120
"""Length of a drawn interval, px."""


def command_box(text: str) -> str:
    """A command to copy."""
    return f"<pre>{escape(text)}</pre>"


def section(title: str, *parts: str) -> str:
    """A heading and what follows; empty without content. `parts` are HTML."""
    body = "".join(parts)
    return f"<section><h2>{escape(title)}</h2>{body}</section>" if body else ""


def key(arm: int) -> str:
    """The line of an arm, as in all charts."""
    pattern = _DASHES[arm // COLOURS % len(_DASHES)]
    dashes = f' stroke-dasharray="{pattern}"' if pattern else ""
    line = f'<line x1="1" y1="6" x2="21" y2="6" stroke="var(--arm-{arm % COLOURS})" stroke-width="3.5"{dashes}/>'
    return f'<svg class="key" width="22" height="12" aria-hidden="true">{line}</svg>'


def table_box(head: str, rows: str, count: int, identity: str = "") -> str:
    """A table that scrolls within its own box; `head` and `rows` are HTML."""
    tall = " tall" if count > _TALL else ""
    name = f' id="{identity}"' if identity else ""
    table = f"<table{name}><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="scroll{tall}" tabindex="0">{table}</div>'


def html_table(table: Table) -> str:
    """A table in a box that scrolls on its own."""
    kinds = [_kind(table, at) for at in range(len(table.heads))]
    head = "".join(f"<th{kind}>{_breakable(text)}</th>" for text, kind in zip(table.heads, kinds, strict=True))
    rows = "".join(
        "<tr>" + "".join(f"<td{kind}>{_cell(cell)}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in table.rows
    )
    box = table_box(head, rows, len(table.rows))
    return box + (f'<p class="caption">{escape(table.caption)}</p>' if table.caption else "")


def _breakable(text: str) -> str:
    """Long names may be broken after an underscore."""
    return escape(text).replace("_", "_<wbr>")


def _kind(table: Table, at: int) -> str:
    names = [name for name, columns in (("text", table.text), ("wrap", table.wrap)) if at in columns]
    return f' class="{" ".join(names)}"' if names else ""


def _cell(cell: str | Interval) -> str:
    if not isinstance(cell, Interval):
        return escape(cell)
    share, (low, high) = cell.found.share, cell.found.interval
    if share is None:
        return ""
    tint = f"var(--arm-{cell.arm % COLOURS})"
    left, at, right = (f"{4 + _BAR * part:.1f}" for part in (low, share, high))
    ticks = [f"{4 + _BAR * part:g}" for part in (0, 0.5, 1)]
    lines = [
        f'<line x1="{ticks[0]}" y1="8" x2="{ticks[-1]}" y2="8" stroke="var(--line)"/>',
        *(f'<line x1="{x}" y1="4" x2="{x}" y2="12" stroke="var(--line)"/>' for x in ticks),
        f'<line x1="{left}" y1="8" x2="{right}" y2="8" stroke="{tint}" stroke-width="3"/>',
        f'<circle cx="{at}" cy="8" r="4.5" fill="{tint}"/>',
    ]
    width = _BAR + 8
    return f'<svg class="interval" width="{width}" height="16" aria-hidden="true">{"".join(lines)}</svg>'
