"""The activation report as one HTML page: what stands out, the heatmap, all numbers. It loads nothing."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path
from typing import Any

from matplotlib import rc_context

from .activation_heatmap import heatmap_figure

COLUMNS = {
    "mean": "mean",
    "std": "std",
    "rms": "RMS",
    "rms_ratio": "RMS / reference",
    "p50": "median |x|",
    "p95": "95 % |x|",
    "p99": "99 % |x|",
    "dead_channels": "dead channels",
    "sparsity": "near zero",
    "low_frequency": "low frequency",
    "spectral_local_ratio": "spectral / local",
    "head_saturation": "saturated",
    "nonfinite": "not finite",
}
"""Statistic to heading."""
MEANING = {
    "mean, std": "of the layer's output x over samples, channels and pixels; of |x| where x is complex",
    "RMS": "root mean square of x; beside it the ratio to the same layer in the reference",
    "median, 95 %, 99 % |x|": "quantiles of |x|: exact for one batch, averaged over several",
    "dead channels": "share whose std over samples and pixels is at most {dead:g} times the RMS of the output; "
    "1 where the RMS is 0",
    "near zero": "share of |x| at most {near_zero:g} times the RMS",
    "low frequency": "share of the spectral energy within {low_frequency:g} cycles/px, zero frequency included",
    "spectral / local": "RMS of the spectral over RMS of the local part of an operator",
    "saturated": "share of a bounded head's outputs within 1 % of a bound",
}
_STYLE = """
:root{color-scheme:light}
body{font:15px/1.5 system-ui,sans-serif;color:#1c1c1c;background:#fff}
body{max-width:1400px;margin:2rem auto;padding:0 1.5rem}
h1{font-size:1.5rem;margin:0 0 .2rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1.2rem;margin:.5rem 0}
dt{color:#666}dd{margin:0;overflow-wrap:anywhere}
ul{margin:.3rem 0;padding-left:1.2rem}
.fine{color:#1a7f37}.found{background:#fff5f2;border-left:4px solid #d55e00;padding:.5rem 1rem}
img{display:block;max-width:100%;height:auto}
.wide{overflow-x:auto}
table{border-collapse:collapse;font:12px/1.35 ui-monospace,monospace;white-space:nowrap}
th,td{padding:.15rem .6rem;text-align:right}th{font-family:system-ui,sans-serif;border-bottom:1px solid #999}
td:first-child,th:first-child,td:nth-child(2),th:nth-child(2){text-align:left}
tr:nth-child(even) td{background:#f6f6f6}
summary{cursor:pointer;margin:.4rem 0}
"""


def report_page(document: dict[str, Any]) -> str:
    """HTML of a report (`activation_report.build_report`); every text of it is escaped."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><title>Activation report</title>',
        f"<style>{_STYLE}</style></head><body>",
        "<h1>Activation report</h1>",
        _facts(document),
        "<h2>What stands out</h2>",
        _findings(document),
        "<h2>Heatmap</h2>",
        f'<img alt="Heatmap of the statistics below, layer by layer" src="{_figure_uri(document)}">',
        "<p>Layers from input to output; grey: does not apply.</p>",
        "<h2>All numbers</h2>",
        *_tables(document),
        "<h2>What they mean</h2>",
        _pairs({name: text.format(**document["constants"]) for name, text in MEANING.items()}),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def write_page(document: dict[str, Any], path: Path) -> None:
    """Write the page; the file appears whole or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(report_page(document))
    temporary.replace(path)


def _facts(document: dict[str, Any]) -> str:
    facts = {name.replace("_", " "): value for name, value in document["source"].items() if value not in (None, "")}
    return _pairs(facts | {"patterns": document["samples"], "reference": document["reference"] or "none"})


def _findings(document: dict[str, Any]) -> str:
    if not document["findings"]:
        return '<p class="fine">No dead layer, saturated head, or layer out of scale.</p>'
    items = "".join(f"<li>{escape(finding['text'])}</li>" for finding in document["findings"])
    return f'<div class="found">From input to output; the first is nearest to the cause.<ul>{items}</ul></div>'


def _tables(document: dict[str, Any]) -> list[str]:
    """The last snapshot open, earlier ones folded."""
    tables: list[str] = []
    for place, snapshot in enumerate(reversed(document["snapshots"])):
        moment = [f"{name} {snapshot[name]}" for name in ("epoch", "step") if snapshot[name] is not None]
        title = escape(", ".join(moment) or "these weights")
        tables.append(f"<details{'' if place else ' open'}><summary>{title}</summary>{_table(snapshot)}</details>")
    return tables


def _table(snapshot: dict[str, Any]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in ("layer", "shape", *COLUMNS.values()))
    rows = [f"<tr>{head}</tr>"]
    for layer in snapshot["layers"]:
        shape = " × ".join(map(str, layer["shape"]))
        numbers = ("" if layer[stat] is None else f"{layer[stat]:.3g}" for stat in COLUMNS)
        cells = (f"<td>{escape(cell)}</td>" for cell in (layer["name"], shape, *numbers))
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="wide"><table>{"".join(rows)}</table></div>'


def _pairs(pairs: dict[str, Any]) -> str:
    items = (f"<dt>{escape(str(name))}</dt><dd>{escape(str(value))}</dd>" for name, value in pairs.items())
    return f"<dl>{''.join(items)}</dl>"


def _figure_uri(document: dict[str, Any]) -> str:
    """The figure as SVG within an address; as an image it can neither load nor execute anything."""
    drawn = io.BytesIO()
    with rc_context({"svg.hashsalt": "activation report"}):
        heatmap_figure(document).savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(drawn.getvalue()).decode()
