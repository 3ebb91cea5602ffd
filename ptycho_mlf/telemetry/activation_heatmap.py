"""Heatmaps of an activation report: layers x epochs per statistic, or layers x statistics for one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ptycho_mlf.drawing import new_figure

Grid = NDArray[np.float64]

TITLE, LABEL, TICK, CELL = 10.0, 9.0, 7.5, 6.5
"""Font sizes, pt."""
SPARSE = 0.25
"""A panel with values in fewer rows than this share is drawn half as wide."""
ROW, PANEL, CELL_WIDTH = 0.165, 1.3, 0.62
"""Height of a row, width of a panel, width of an annotated column, inches."""
MISSING = "#e4e4e4"
"""Colour of what does not apply or is not finite."""
DECADES = 6.0
"""A logarithmic scale begins at most so many decades below its 10 % quantile, so that no tiny value eats it."""


@dataclass(frozen=True)
class _Family:
    """Statistics that share a colour scale."""

    label: str
    colours: str
    names: dict[str, str]
    """Statistic to heading."""


MAGNITUDE = _Family(
    "activation (network units)",
    "viridis",
    {"rms": "RMS", "mean": "mean", "std": "std", "p50": "median |x|", "p95": "95 % |x|", "p99": "99 % |x|"},
)
RATIO = _Family("ratio", "RdBu_r", {"rms_ratio": "RMS /\nreference", "spectral_local_ratio": "spectral /\nlocal RMS"})
SHARE = _Family(
    "share",
    "magma_r",
    {
        "dead_channels": "dead\nchannels",
        "sparsity": "near\nzero",
        "low_frequency": "low\nfrequency",
        "head_saturation": "saturated\noutputs",
        "nonfinite": "not\nfinite",
    },
)
DETAIL = _Family("share", "cividis", {"detail": "energy above\n1/8 cycles/px"})
"""What is not low frequency: usually so little that it needs a logarithmic scale."""
_FAMILIES = (MAGNITUDE, RATIO, SHARE, DETAIL)
_OVER_EPOCHS = ("rms", "rms_ratio", "spectral_local_ratio", "dead_channels", "sparsity", "detail")
_ALWAYS_OVER_EPOCHS_IF_ANY = ("head_saturation", "nonfinite")


def heatmap_figure(document: dict[str, Any]) -> Figure:
    """The heatmap of a report (`activation_report.build_report`)."""
    snapshots = document["snapshots"]
    return _over_epochs(document) if len(snapshots) > 1 else _of_one(document)


def _over_epochs(document: dict[str, Any]) -> Figure:
    names = layer_names(document)
    grids = {stat: _grid(document, names, stat) for stat in (*_OVER_EPOCHS, *_ALWAYS_OVER_EPOCHS_IF_ANY)}
    shown = [stat for stat in grids if np.isfinite(grids[stat]).any()]
    shown = [stat for stat in shown if stat != "nonfinite" or np.nanmax(grids[stat]) > 0]
    widths = [PANEL if np.isfinite(grids[stat]).any(axis=1).mean() > SPARSE else PANEL / 2 for stat in shown]
    figure = _new_figure(document, names, sum(widths))
    panels = list(figure.subplots(1, len(shown), sharey=True, squeeze=False, width_ratios=widths)[0])
    epochs = [_moment(s) for s in document["snapshots"]]
    for axes, stat, width in zip(panels, shown, widths, strict=True):
        family = _family(stat)
        scale = _scale(family, grids[stat])
        _draw(axes, grids[stat], family, scale)
        axes.set_title(family.names[stat], fontsize=TITLE)
        every = -(-len(epochs) // (6 if width == PANEL else 2))
        axes.set_xticks(range(0, len(epochs), every), epochs[::every], fontsize=TICK)
        axes.set_xlabel("epoch", fontsize=LABEL)
        _bar(figure, [axes], family, scale, "network units" if family is MAGNITUDE else family.label)
    _name_rows(panels[0], names)
    _lines(panels, names)
    return figure


def _of_one(document: dict[str, Any]) -> Figure:
    names = layer_names(document)
    families = (MAGNITUDE, RATIO, SHARE)
    found = [(f, [s for s in f.names if np.isfinite(_grid(document, names, s)).any()]) for f in families]
    columns = [(family, stats) for family, stats in found if stats]
    counts = [len(stats) for _, stats in columns]
    figure = _new_figure(document, names, CELL_WIDTH * sum(counts) + 0.3)
    panels = list(figure.subplots(1, len(columns), sharey=True, squeeze=False, width_ratios=counts)[0])
    for axes, (family, stats) in zip(panels, columns, strict=True):
        grid = np.concatenate([_grid(document, names, stat) for stat in stats], axis=1)
        # A mean may be next to nothing, and would stretch the scale of all the others.
        scale = _scale(family, np.abs(grid[:, [stat != "mean" for stat in stats]]))
        image = _draw(axes, np.abs(grid), family, scale)
        _annotate(axes, grid, image)
        axes.set_xticks(range(len(stats)), [family.names[s] for s in stats], fontsize=TICK)
        axes.xaxis.tick_top()
        axes.tick_params(axis="x", length=0)
        _bar(figure, [axes], family, scale, family.label)
    _name_rows(panels[0], names)
    _lines(panels, names)
    return figure


def layer_names(document: dict[str, Any]) -> list[str]:
    """All layers, in the order of the forward pass."""
    return list(dict.fromkeys(layer["name"] for s in document["snapshots"] for layer in s["layers"]))


def _grid(document: dict[str, Any], names: Sequence[str], stat: str) -> Grid:
    """(layers, snapshots); NaN where there is no value."""
    if stat == "detail":
        return (1 - _grid(document, names, "low_frequency")).clip(min=0)
    columns = [{layer["name"]: layer[stat] for layer in s["layers"]} for s in document["snapshots"]]
    return np.array([[column.get(name) for column in columns] for name in names], dtype=np.float64)


def _moment(snapshot: dict[str, Any]) -> str:
    return "" if snapshot["epoch"] is None else str(snapshot["epoch"])


def _family(stat: str) -> _Family:
    return next(family for family in _FAMILIES if stat in family.names)


def _scale(family: _Family, grid: Grid) -> Normalize:
    if family is SHARE:
        return Normalize(0, 1)
    positive = grid[np.isfinite(grid) & (grid > 0)]
    if not positive.size:
        return LogNorm(0.1, 10)
    if family is RATIO:
        extent = max(2.0, float(np.max(np.maximum(positive, 1 / positive).clip(max=10 ** (DECADES / 2)))))
        return LogNorm(1 / extent, extent)
    top = float(positive.max())
    low = max(float(positive.min()), float(np.quantile(positive, 0.1)) * 10**-DECADES)
    return LogNorm(min(low, top / 2), top)


def _colours(family: _Family) -> Colormap:
    return colormaps[family.colours].with_extremes(bad=MISSING)


def _draw(axes: Axes, grid: Grid, family: _Family, scale: Normalize) -> Any:
    # A zero has no place on a logarithmic scale: it is drawn as the smallest value.
    low, high = scale.vmin or 0.0, scale.vmax or 1.0
    shown = np.clip(grid, low, high)
    axes.tick_params(labelsize=TICK)
    return axes.imshow(
        np.ma.masked_invalid(shown), cmap=_colours(family), norm=scale, aspect="auto", interpolation="nearest"
    )


def _annotate(axes: Axes, grid: Grid, image: Any) -> None:
    for (row, column), value in np.ndenumerate(grid):
        if np.isfinite(value):
            red, green, blue, _ = image.cmap(image.norm(image.get_array()[row, column]))
            colour = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
            axes.text(column, row, _short(value), ha="center", va="center", fontsize=CELL, color=colour)


def _short(value: float) -> str:
    """At most six characters where two digits allow it."""
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e3:
        return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    short = [name.removeprefix("body.") for name in names]
    axes.set_yticks(range(len(names)), short, fontsize=TICK, family="monospace")


def _lines(panels: Sequence[Axes], names: Sequence[str]) -> None:
    """White lines where one part of the network ends and the next begins."""
    parts = [name.partition("#")[0].split(".")[: 3 if name.startswith("body.") else 1] for name in names]
    for axes in panels:
        axes.tick_params(axis="y", length=0)
        for row in range(1, len(names)):
            if parts[row] != parts[row - 1]:
                axes.axhline(row - 0.5, color="white", linewidth=1.5)
        for spine in axes.spines.values():
            spine.set_visible(False)


def _bar(figure: Figure, panels: list[Axes], family: _Family, scale: Normalize, label: str) -> None:
    colours = ScalarMappable(scale, _colours(family))
    bar = figure.colorbar(colours, ax=panels, location="bottom", fraction=0.03, pad=0.01)
    bar.set_label(label, fontsize=LABEL)
    bar.ax.tick_params(labelsize=TICK)
    bar.ax.minorticks_off()


def _title(document: dict[str, Any]) -> str:
    source = document["source"]
    what = [source.get("architecture") or "a network"]
    what += [f"N={source['N']}"] if source.get("N") else []
    what += [f"{source['weights']} weights"] if source.get("weights") else []
    seen = f"{document['samples']} pattern{'s' if document['samples'] != 1 else ''}"
    compared = f"; reference: {document['reference']}" if document["reference"] else ""
    return f"Activations of {', '.join(what)}, on {seen}{compared}"


def _new_figure(document: dict[str, Any], names: Sequence[str], width: float) -> Figure:
    labels = 0.068 * max(len(name.removeprefix("body.")) for name in names)
    figure = new_figure(labels + width, ROW * len(names) + 2.0)
    figure.suptitle(_title(document), fontsize=TITLE + 1, x=0.01, ha="left")
    return figure
