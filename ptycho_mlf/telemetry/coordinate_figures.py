"""Figures of a coordinate check: change over width, and the signal through the network at initialisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from ptycho_mlf.drawing import new_figure

from .coordinate_check import Scaling

TITLE, LABEL, TICK = 10.0, 9.0, 7.5
"""Font sizes, pt."""
COLOURS = "viridis"
_LAST = 0.92
"""The end of the colour map is too light for lines."""
_DODGE = 0.09
"""Points of a width spread over so many octaves to either side."""


def coordinate_figure(depths: Mapping[int, Sequence[Scaling]], widths: Sequence[int], steps: int) -> Figure:
    """Change of every place over width, log-log, coloured from input to output; a panel and a legend per depth.

    Args:
        depths: for each depth the places in the order of the network.
        widths: the W widths.
        steps: after how many steps.
    """
    rows = max(len(found) for found in depths.values())
    figure = new_figure(5.4 * len(depths), max(4.0, 1.1 + 0.19 * rows))
    grid = figure.subplots(1, len(depths), sharey=True, squeeze=False)[0]
    for axes, (depth, found) in zip(grid, depths.items(), strict=True):
        # Side by side, or the lines of places that move alike would hide each other.
        shifts = 2 ** np.linspace(-_DODGE, _DODGE, len(found))
        for place, shift, colour in zip(found, shifts, _colours(len(found)), strict=True):
            _line(axes, place, shift * np.array(widths), colour)
        _style(axes, f"depth {depth}")
        axes.set_xscale("log", base=2)
        axes.set_xticks(widths, [str(width) for width in widths])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("width", fontsize=LABEL)
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(1.0, 1.02),
            fontsize=TICK,
            frameon=False,
            title="slope, input to output",
            title_fontsize=TICK,
            handlelength=1.4,
            labelspacing=0.35,
        )
    grid[0].set_ylabel(f"RMS change of the output after {steps} steps", fontsize=LABEL)
    return figure


def propagation_figure(signals: Mapping[int, Mapping[int, Mapping[str, NDArray[np.float64]]]]) -> Figure:
    """Forward RMS and backward norm from input to output; a column per depth, a line per width, a band over seeds.

    Args:
        signals: depth to width to place to (seed, 2): forward RMS and backward norm.
    """
    longest = max(len(places) for by_width in signals.values() for places in by_width.values())
    figure = new_figure(max(3.6, 1.2 + 0.24 * longest) * len(signals), 6.2)
    grid = figure.subplots(2, len(signals), sharex="col", sharey="row", squeeze=False)
    headings = ("forward: RMS of the output", "backward: norm of the loss gradient")
    for column, (depth, by_width) in zip(grid.T, signals.items(), strict=True):
        colours = _colours(len(by_width))
        for which, axes in enumerate(column):
            for (width, places), colour in zip(by_width.items(), colours, strict=True):
                values_PS = np.array([values_S2[:, which] for values_S2 in places.values()])
                shown = np.where(np.isfinite(values_PS) & (values_PS > 0), values_PS, np.nan)
                at = np.arange(len(shown))
                axes.plot(at, shown.mean(axis=1), "o-", ms=3, lw=1.4, color=colour, label=f"width {width}")
                axes.fill_between(at, shown.min(axis=1), shown.max(axis=1), color=colour, alpha=0.2, lw=0)
            _style(axes, f"depth {depth}" if which == 0 else "")
            axes.margins(x=0.03)
        names = list(next(iter(by_width.values())))
        column[1].set_xticks(range(len(names)), names, rotation=90, fontsize=TICK)
    for axes, heading in zip(grid[:, 0], headings, strict=True):
        axes.set_ylabel(heading, fontsize=LABEL)
    grid[0, 0].legend(fontsize=TICK, frameon=False)
    return figure


def _line(axes: Axes, place: Scaling, x_W: NDArray[np.float64], colour: str) -> None:
    """Mean over seeds with a bar from the smallest to the largest; a place without a slope is named, not drawn."""
    if place.slope is None:
        axes.plot([], [], color=colour, label=f"{place.place}  no slope")
        return
    ends = place.change_SWT[:, :, -1]
    mean_W = place.mean_W
    spread = np.abs(np.array([ends.min(axis=0), ends.max(axis=0)]) - mean_W)
    label = f"{place.place}  {place.slope:+.2f}".replace("-", "\N{MINUS SIGN}")
    axes.errorbar(x_W, mean_W, spread, fmt="o-", ms=3, lw=1.4, elinewidth=0.7, color=colour, label=label)


def _style(axes: Axes, title: str) -> None:
    if any((np.asarray(line.get_ydata(), float) > 0).any() for line in axes.get_lines()):
        axes.set_yscale("log")
    axes.set_title(title, fontsize=TITLE, loc="left")
    axes.tick_params(which="both", labelsize=TICK)
    axes.grid(color="0.9", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _colours(count: int) -> list[str]:
    return [to_hex(colormaps[COLOURS](x)) for x in np.linspace(0, _LAST, count)]
