"""Figures without pyplot, so that nothing global is opened or changed, and PNG files of them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
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
    figure = Figure(figsize=(width, height), dpi=DPI, layout=ConstrainedLayoutEngine(w_pad=pad, h_pad=pad))
    FigureCanvasAgg(figure)
    return figure


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
