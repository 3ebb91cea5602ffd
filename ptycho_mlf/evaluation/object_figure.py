"""A reconstruction whose truth is not known."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ptycho_mlf.drawing import new_figure

from .alignment import remove_plane, trim
from .figures import LABEL, MAPS, TICK, TITLE

_QUANTILES = (0.002, 0.998)
"""Share of the pixels inside the colour scale: a few wild ones at the border must not darken the rest."""


def object_figure(object_HW: NDArray[np.complex128], title: str) -> Figure:
    """Amplitude and phase, trimmed as for scores; the phase less its global phase and its plane.

    Args:
        object_HW: normalised units.
        title: what it is.
    """
    seen = trim(object_HW)
    finite = bool(np.isfinite(seen).all())
    turned = seen * np.exp(-1j * np.angle(seen.sum())) if finite else seen
    panels = {
        "amp": (np.abs(seen), "amplitude", "normalised units"),
        "phase": (remove_plane(np.angle(turned)) if finite else np.angle(seen), "phase, plane removed", "rad"),
    }
    figure = new_figure(11.5, 5.2, pad=0.08)
    figure.suptitle(title if finite else f"{title}: not finite", fontsize=TITLE)
    for axes, (kind, (image, name, unit)) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        known = image[np.isfinite(image)]
        low, high = np.quantile(known, _QUANTILES) if known.size else (0.0, 1.0)
        drawn = axes.imshow(image, cmap=MAPS[kind], vmin=low, vmax=max(high, low + 1e-6))
        axes.set_title(name, fontsize=TITLE)
        axes.set_xlabel("column (px)", fontsize=LABEL)
        axes.set_ylabel("row (px)", fontsize=LABEL)
        axes.tick_params(labelsize=TICK)
        bar = figure.colorbar(drawn, ax=axes, extend="both", extendfrac=0.03, pad=0.015, aspect=25)
        bar.set_label(f"{name} ({unit})", fontsize=LABEL)
        bar.ax.tick_params(labelsize=TICK)
    return figure
