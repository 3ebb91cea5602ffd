"""The gradient report as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .gradient_figures import histogram_figure
from .gradient_statistics import Layer
from .html_page import image, page, pairs, paragraph, section, table

HISTOGRAM_TITLES = {
    "gradient": "gradients",
    "weight_initial": "weights before training",
    "weight": "weights at the end",
}
MEANING = {
    "gradient norm": "L2 norm of the layer's gradient before clipping",
    "clipped": "share of the recorded steps in which clipping made the layer's gradient smaller; "
    "least scale: smallest norm after over before clipping",
    "update ratio": "L2 norm of the step the optimizer took over the norm of the weights before it",
    "zero": "share of the layer's gradient numbers that are exactly zero, at the last histogram",
}
_HEADS = (
    "layer",
    "type",
    "numbers",
    "gradient norm median",
    "gradient norm p99",
    "gradient norm max",
    "at step",
    "update ratio median",
    "update ratio max",
    "clipped",
    "least scale",
    "weight norm first",
    "weight norm last",
    "zero",
)


def gradient_page(
    report: Mapping[str, Any],
    heatmap: Figure,
    drawn: Path,
    layers: Sequence[Layer],
    histograms: Mapping[str, tuple[int, NDArray[np.int64]]],
) -> str:
    """HTML of a report.

    Args:
        report: what `gradient_report` made of the layers and histograms.
        heatmap: `heatmap_figure` of its rows.
        drawn: the PNG of it.
        layers: from input to output.
        histograms: by name, each with its step.
    """
    stride, steps = report["gradient_stride"], report["recorded_steps"]
    titled = {HISTOGRAM_TITLES[name]: histograms[name] for name in HISTOGRAM_TITLES if name in histograms}
    return page(
        "Gradient report",
        [
            paragraph(
                f"{steps} steps recorded, one in {stride} from {report['first_step']} to {report['last_step']}; "
                f"{len(layers)} layers from input to output. Grey: zero or not measured; black: not finite."
                if stride > 1
                else f"{steps} steps, {len(layers)} layers from input to output. Grey: zero; black: not finite."
            ),
            *_dead(report),
            image(heatmap, "Heatmaps of layers over steps", drawn=drawn),
            section(
                "Orders of magnitude", image(histogram_figure(titled, layers), "Histograms of gradients and weights")
            ),
            section("All layers", table(_HEADS, [_row(layer) for layer in report["layers"]])),
            section("What they mean", pairs(MEANING)),
        ],
    )


def _dead(report: Mapping[str, Any]) -> list[str]:
    dead = report["no_gradient"]
    if not dead:
        return []
    first = min(dead, key=lambda entry: entry["since_step"])
    text = (
        f"{len(dead)} of {len(report['layers'])} layers have no gradient at the end, first {first['layer']} from step "
    )
    return [paragraph(f"{text}{first['since_step']} on: they learn no more.", "found")]


def _row(layer: Mapping[str, Any]) -> list[object]:
    gradient, update, clipping, weight = (layer[n] for n in ("grad_norm", "update_ratio", "clipping", "weight_norm"))
    counts = layer["histograms"].get("gradient")
    return [
        layer["name"],
        layer["type"],
        layer["numbers"],
        gradient["median"],
        gradient["p99"],
        gradient["max"],
        gradient["step_of_max"],
        update["median"],
        update["max"],
        clipping["fraction"],
        clipping["least_scale"],
        weight["first"],
        weight["last"],
        None if counts is None else counts["zeros"] / layer["numbers"],
    ]
