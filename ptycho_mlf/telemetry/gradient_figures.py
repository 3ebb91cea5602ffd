"""Figures of the gradient report: heatmaps of layers x steps, histograms of layers x orders of magnitude."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ptycho_mlf.drawing import bar_axes, fixed_figure, fixed_panels

from .gradient_statistics import NONFINITE_BIN, Array, Layer, LayerRows

TITLE, LABEL, TICK = 10.0, 9.0, 7.5
"""Font sizes, pt."""
MISSING, NOT_FINITE = "#e4e4e4", "#000000"
"""Colours of what is zero or was not measured, and of what is not finite."""
SHARES = "magma_r"
"""Colours of histograms: none is white."""
COLUMNS = 400
"""A longer series is drawn as maxima of so many buckets, so that no spike is lost."""
DECADES = 6.0
"""A logarithmic scale begins at most so many decades below its 10 % quantile, so that no tiny value eats it."""
_QUANTILE = 0.999
_CLIPPED = 1 - 1e-5


def heatmap_figure(rows: LayerRows, layers: Sequence[Layer]) -> Figure:
    """Gradient norm, update ratio and, where there was clipping, clip scale: layers from input to output x steps."""
    # A gradient is always measured: a norm that is no number is one that is not finite.
    grad_norm = np.where(np.isnan(rows.grad_norm), np.inf, rows.grad_norm)
    panels: list[tuple[str, str, Array, str, Any]] = [
        ("gradient norm before clipping", "L2 norm (loss / weight)", grad_norm, "viridis", None),
        ("update ratio", "|Δw| / |w|", rows.update_ratio, "magma", None),
    ]
    scale = rows.clip_scale
    if (scale < _CLIPPED).any():
        panels.append(("gradient norm after over before clipping", "ratio", scale, "cividis", Normalize(0, 1)))
    figure = fixed_figure(11.5, 1.1 + len(panels) * max(1.2, 0.15 * len(layers) + 0.55))
    margins = (_names_width(layers), 1.15, 0.5, 0.3)
    grid = fixed_panels(figure, len(panels), 1, margins=margins, down=0.33, sharex=True)[:, 0]
    for axes, (title, label, values, colours, norm) in zip(grid, panels, strict=True):
        steps, shown = _buckets(rows.step, values)
        place = bar_axes(figure, [axes], 0.12, 0.24)
        draw_cells(figure, axes, steps, shown, colours, norm or log_scale(shown), label, place)
        axes.set_title(title, fontsize=TITLE, loc="left", y=1.0)
        name_layers(axes, layers)
    grid[-1].set_xlabel("step", fontsize=LABEL)
    return figure


def histogram_figure(histograms: Mapping[str, tuple[int, NDArray[np.int64]]], layers: Sequence[Layer]) -> Figure:
    """How the numbers of each layer spread over the orders of magnitude; one panel per title in `histograms`."""
    figure = fixed_figure(3.0 + 3.6 * len(histograms), max(2.2, 0.17 * len(layers) + 1.4))
    margins = (_names_width(layers), 1.0, 0.55, 0.3)
    grid = fixed_panels(figure, 1, len(histograms), margins=margins, across=0.2, sharey=True)[0]
    peak = 0.0
    shares: list[Array] = []
    for _, counts in histograms.values():
        inner = counts[:, 1:NONFINITE_BIN].astype(float)
        shares.append(inner / np.maximum(counts.sum(1, keepdims=True), 1))
        peak = max(peak, float(shares[-1].max()))
    norm = Normalize(0, max(peak, 1e-3))
    grid[0].set_ylim(len(layers) - 0.5, -0.5)
    for axes, (title, (step, _)), share in zip(grid, histograms.items(), shares, strict=True):
        used = np.flatnonzero((share > 1e-4).any(axis=0))
        first, end = (int(used[0]) - 1, int(used[-1]) + 2) if used.size else (120, 134)
        edges = (np.arange(max(first, 0), end + 1) + 1 - 127) * np.log10(2)
        shown = np.ma.masked_equal(share[:, max(first, 0) : end], 0)
        mesh_edges = edges[: shown.shape[1] + 1]
        axes.pcolormesh(mesh_edges, np.arange(len(layers) + 1) - 0.5, shown, cmap=_map(SHARES), norm=norm)
        axes.set_facecolor("white")
        if not used.size:
            axes.text(0.5, 0.5, "all zero or not finite", transform=axes.transAxes, ha="center", fontsize=LABEL)
            axes.set_xticks([])
        axes.set_title(f"{title}, step {step}", fontsize=TITLE, loc="left", y=1.0)
        axes.set_xlabel("log$_{10}$ of the absolute value", fontsize=LABEL)
        axes.tick_params(labelsize=TICK)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="0.92", linewidth=0.8)
        axes.set_axisbelow(True)
        for spine in axes.spines.values():
            spine.set_visible(False)
    name_layers(grid[0], layers)
    bar = figure.colorbar(ScalarMappable(norm, _map(SHARES)), cax=bar_axes(figure, list(grid), 0.12, 0.24))
    bar.set_label("share of the layer's numbers", fontsize=LABEL)
    bar.ax.tick_params(labelsize=TICK)
    return figure


def draw_cells(
    figure: Figure,
    axes: Axes,
    steps: NDArray[np.int64],
    values_SL: Array,
    colours: str,
    norm: Normalize,
    label: str,
    bar_place: Axes | None = None,
) -> None:
    """Layers from top to bottom x steps; infinities are black, NaN is grey. The colour bar has axes, or takes room."""
    image = np.ma.masked_invalid(values_SL.T)
    if isinstance(norm, LogNorm):
        image = np.ma.masked_less_equal(image, 0)
    edges = np.append(steps, steps[-1] + (steps[-1] - steps[-2] if len(steps) > 1 else 1)) - 0.5
    rows = np.arange(values_SL.shape[1] + 1) - 0.5
    axes.pcolormesh(edges, rows, image, cmap=_map(colours), norm=norm, rasterized=True)
    broken = np.ma.masked_where(~np.isposinf(values_SL.T), np.ones_like(values_SL.T))
    if broken.count():
        axes.pcolormesh(edges, rows, broken, cmap="binary", vmin=0, vmax=1, rasterized=True)
    axes.set_facecolor(MISSING)
    axes.set_ylim(values_SL.shape[1] - 0.5, -0.5)
    axes.tick_params(labelsize=TICK)
    bar = figure.colorbar(
        ScalarMappable(norm, _map(colours)),
        cax=bar_place,
        ax=axes,
        pad=0.01,
        aspect=18,
        extend="neither" if (norm.vmin, norm.vmax) == (0, 1) else "both",
    )
    bar.set_label(label, fontsize=LABEL)
    bar.ax.tick_params(labelsize=TICK)
    bar.ax.minorticks_off()


def _names_width(layers: Sequence[Layer]) -> float:
    """Inches beside the axes that their names take: the font is monospaced."""
    return 0.1 + 0.068 * max((len(_short_name(layer)) for layer in layers), default=0)


def _short_name(layer: Layer) -> str:
    return layer.name.removeprefix("body.")


def name_layers(axes: Axes, layers: Sequence[Layer]) -> None:
    """Names as row labels, and white lines where one part of the network ends and the next begins."""
    names = [_short_name(layer) for layer in layers]
    axes.set_yticks(range(len(names)), names, fontsize=TICK, family="monospace")
    axes.tick_params(axis="y", length=0)
    parts = [layer.name.split(".")[: 3 if layer.name.startswith("body.") else 1] for layer in layers]
    for row in range(1, len(parts)):
        if parts[row] != parts[row - 1]:
            axes.axhline(row - 0.5, color="white", linewidth=1.2)
    for spine in axes.spines.values():
        spine.set_visible(False)


def log_scale(values: Array) -> LogNorm:
    """From nearly the least to nearly the greatest value."""
    positive = values[np.isfinite(values) & (values > 0)]
    if not positive.size:
        return LogNorm(0.1, 10)
    top = float(np.quantile(positive, _QUANTILE))
    low = max(float(np.quantile(positive, 1 - _QUANTILE)), float(np.quantile(positive, 0.1)) * 10**-DECADES)
    return LogNorm(min(low, top / 2), top)


def _map(name: str) -> Any:
    return colormaps[name].with_extremes(bad=(0, 0, 0, 0))


def _buckets(steps: NDArray[np.int64], values_SL: Array) -> tuple[NDArray[np.int64], Array]:
    if len(steps) <= COLUMNS:
        return steps, values_SL
    starts = np.linspace(0, len(steps), COLUMNS, endpoint=False).astype(int)
    filled = np.where(np.isnan(values_SL), -np.inf, values_SL)
    maxima = np.maximum.reduceat(filled, starts, axis=0)
    return steps[starts], np.where(np.isneginf(maxima), np.nan, maxima)
