"""Figures without pyplot, so that nothing global is opened or changed, and PNG files of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from PIL import Image

DPI = 150
_COMPRESSION = 3
"""Level of zlib. The next ones take up to twice the time for files that are some per cent smaller."""


def new_figure(width: float, height: float, pad: float | None = None) -> Figure:
    """An empty figure of so many inches, with a canvas of its own, which lays out what is put into it.

    Args:
        width: inches.
        height: inches.
        pad: inches around everything that is laid out, if not matplotlib's own.
    """
    figure = fixed_figure(width, height)
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=pad, h_pad=pad))
    return figure


def fixed_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches that lays nothing out, since to measure all texts first takes time.

    Args:
        width: inches.
        height: inches.
    """
    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def fixed_panels(
    figure: Figure,
    rows: int,
    columns: int,
    *,
    margins: tuple[float, float, float, float],
    across: float = 0.0,
    down: float = 0.0,
    **options: Any,
) -> NDArray[Any]:
    """Axes on a grid, (rows, columns), as `Figure.subplots` with these options, placed in inches.

    Args:
        figure: with nothing in it.
        rows: of the grid.
        columns: of the grid.
        margins: left, right, bottom and top, which hold what is written around the grid.
        across: between two columns.
        down: between two rows.
        options: as sharex.
    """
    width, height = figure.get_size_inches()
    left, right, bottom, top = margins
    figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height)
    # matplotlib wants the gaps in units of the mean panel.
    mean_width = (width - left - right - (columns - 1) * across) / columns
    mean_height = (height - bottom - top - (rows - 1) * down) / rows
    gaps = {"wspace": across / mean_width, "hspace": down / mean_height}
    return figure.subplots(rows, columns, squeeze=False, gridspec_kw=gaps, **options)


def bar_axes(figure: Figure, panels: Sequence[Axes], gap: float, width: float) -> Axes:
    """Axes for a colour bar to the right of some panels, as high as they are, in inches."""
    inches = figure.get_figwidth()
    boxes = [axes.get_position(original=True) for axes in panels]
    bottom, top = min(box.y0 for box in boxes), max(box.y1 for box in boxes)
    left = max(box.x1 for box in boxes) + gap / inches
    return figure.add_axes((left, bottom, width / inches, top - bottom))


def png(figure: Figure, dpi: int = DPI) -> bytes:
    """A figure with an opaque background as PNG; its bytes depend on the content only.

    `Figure.savefig` has the same pixels but draws twice, once to lay out, and keeps the opacity.
    """
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(dpi)
    canvas.draw()
    drawn = io.BytesIO()
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    pixels.save(drawn, "PNG", compress_level=_COMPRESSION, dpi=(dpi, dpi))
    return drawn.getvalue()


def save_png(figure: Figure, path: Path, dpi: int = DPI) -> None:
    """Write a figure to a PNG file."""
    path.write_bytes(png(figure, dpi))
