"""The activation report as one HTML page: what stands out, the heatmap, all numbers. It loads nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .activation_heatmap import heatmap_figure
from .html_page import bullets, fold, image, page, pairs, paragraph, section, table

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
FINDINGS = 8
"""So many are shown, the others folded."""


def report_page(document: dict[str, Any]) -> str:
    """HTML of a report (`activation_report.build_report`); every text of it is escaped."""
    return page(
        "Activation report",
        [
            _facts(document),
            section("What stands out", _findings(document)),
            section(
                "Heatmap",
                image(heatmap_figure(document), "Heatmap of the statistics below, layer by layer", "svg"),
                paragraph("Layers from input to output; grey: does not apply.", "note"),
            ),
            section("All numbers", *_tables(document)),
            section(
                "What they mean", pairs({name: text.format(**document["constants"]) for name, text in MEANING.items()})
            ),
        ],
    )


def write_page(document: dict[str, Any], path: Path) -> None:
    """Write the page; the file appears whole or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(report_page(document))
    temporary.replace(path)


def _facts(document: dict[str, Any]) -> str:
    facts = {name.replace("_", " "): value for name, value in document["source"].items() if value not in (None, "")}
    return pairs(facts | {"patterns": document["samples"], "reference": document["reference"] or "none"})


def _findings(document: dict[str, Any]) -> str:
    if not document["findings"]:
        return paragraph("No dead layer, saturated head, or layer out of scale.", "fine")
    texts = [finding["text"] for finding in document["findings"]]
    first, more = texts[:FINDINGS], texts[FINDINGS:]
    shown = bullets(first, "found", "From input to output; the first is nearest to the cause.")
    return shown + (fold(f"{len(more)} more", bullets(more, "found", ""), shown=False) if more else "")


def _tables(document: dict[str, Any]) -> list[str]:
    """The last snapshot open, earlier ones folded."""
    tables: list[str] = []
    for place, snapshot in enumerate(reversed(document["snapshots"])):
        moment = [f"{name} {snapshot[name]}" for name in ("epoch", "step") if snapshot[name] is not None]
        tables.append(fold(", ".join(moment) or "these weights", _table(snapshot), shown=place == 0))
    return tables


def _table(snapshot: dict[str, Any]) -> str:
    """Without the columns that no layer has a number for."""
    layers = snapshot["layers"]
    columns = {stat: heading for stat, heading in COLUMNS.items() if any(layer[stat] is not None for layer in layers)}
    heads = ("layer", "shape", *columns.values())
    return table(
        heads, [(layer["name"], " × ".join(map(str, layer["shape"])), *(layer[s] for s in columns)) for layer in layers]
    )
