"""The replay of an onset as one HTML page: whether it was the same training, the layers, the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ptycho_mlf.drawing import new_figure

from .gradient_figures import LABEL, MISSING, TICK, TITLE
from .html_page import image, page, pairs, paragraph, section, table
from .moment import Moment

BEFORE, ONSET = "#999999", "#d55e00"
PATTERNS = 4
"""Patterns of the batch that are shown."""
DECADES = 4.0
"""Amplitudes are shown over so many orders of magnitude below the largest."""
_ROW = 0.17
"""Height of a row of a figure, inches."""


def replay_page(document: Mapping[str, Any], moment: Moment) -> str:
    """HTML of a replay.

    Args:
        document: replay.json.
        moment: the onset.
    """
    same = document["proof"]["identical"]
    return page(
        f"Step {moment.step}, where it began",
        [
            paragraph(document["sentence"], "fine" if same else "found"),
            pairs(_facts(document)),
            section(
                "Gradients and updates of the layers",
                image(layers_figure(document), "Gradient norms, their direction and update ratios, layer by layer"),
                paragraph(
                    "Layers from input to output. Update ratio: norm of the update over norm of the weights.", "note"
                ),
            ),
            section("Outputs of the layers for this batch", image(outputs_figure(document), "RMS of every output")),
            section(
                "The batch",
                image(batch_figure(moment), "Patterns of the batch, measured and predicted"),
                paragraph(
                    "The patterns with the largest errors. Error: mean |A - X| of the pattern over the mean X of the "
                    "batch, X the measured and A the predicted amplitude.",
                    "note",
                ),
                table(("pattern of the train scan", "error"), _worst(document)),
            ),
        ],
    )


def _facts(document: Mapping[str, Any]) -> dict[str, object]:
    trace = document["trace"]
    norms = f"{_text(trace['grad_norm_preclip'])} before, {_text(trace['grad_norm_postclip'])} after clipping"
    return {
        "place": f"epoch {document['epoch']}, batch {document['batch']} of it",
        "loss": _text(trace["loss"]),
        "gradient norm": norms,
        "learning rate": _text(trace["lr"]),
        "tensors": f"onset.safetensors: {len(document['tensors'])} tensors, weights and optimizer as before the step",
    }


def _text(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.6g}"


def _worst(document: Mapping[str, Any]) -> list[tuple[object, ...]]:
    known = sorted(document["patterns"], key=lambda p: -np.inf if p["error"] is None else -p["error"])
    return [(p["pattern"], "not finite" if p["error"] is None else p["error"]) for p in known]


def layers_figure(document: Mapping[str, Any]) -> Figure:
    """Gradient norm before and at the onset, the angle between both gradients, and the update ratio."""
    layers = document["layers"]
    figure = new_figure(11.5, _ROW * len(layers) + 1.3)
    norms, angles, updates = figure.subplots(1, 3, sharey=True, width_ratios=[2, 1, 1])
    _dots(norms, _column(layers, "grad_norm_before"), _column(layers, "grad_norm"), "gradient norm")
    angles.plot(_column(layers, "cosine_to_before"), np.arange(len(layers)), "o", color=ONSET, markersize=4)
    angles.axvline(0, color="0.6", linewidth=0.8)
    angles.set_xlim(-1.08, 1.08)
    angles.set_xticks([-1, -0.5, 0, 0.5, 1])
    angles.set_xlabel("cosine to the gradient of the step before", fontsize=LABEL)
    _dots(updates, None, _column(layers, "update_ratio"), "update ratio")
    _rows(norms, [layer["name"].removeprefix("body.") for layer in layers])
    for axes in (norms, angles, updates):
        _plain(axes)
    return figure


def outputs_figure(document: Mapping[str, Any]) -> Figure:
    """RMS of every layer's output before and at the onset."""
    layers = document["activations"]
    figure = new_figure(9.0, _ROW * len(layers) + 1.3)
    axes = figure.subplots()
    _dots(axes, _column(layers, "rms_before"), _column(layers, "rms"), "RMS of the output (network units)")
    _rows(axes, [layer["name"].removeprefix("body.") for layer in layers])
    _plain(axes)
    return figure


def batch_figure(moment: Moment) -> Figure:
    """The patterns with the largest errors: measured and predicted amplitudes, and the predicted objects."""
    errors = moment.errors()
    worst = np.argsort(-np.nan_to_num(errors, nan=np.inf), kind="stable")[:PATTERNS]
    figure = new_figure(11.5, 2.3 * len(worst) + 0.2)
    grid = figure.subplots(len(worst), 4, squeeze=False)
    X_nNN, A_nNN, object_nNN = (part[worst, 0].numpy() for part in (moment.amplitude, moment.predicted, moment.object))
    for k, row in enumerate(grid):
        top = float(X_nNN[k].max()) or 1.0
        # A prediction that is far too bright may take the scale a decade further.
        brightest = np.max(A_nNN[k], where=np.isfinite(A_nNN[k]), initial=top)
        scale = LogNorm(top * 10**-DECADES, min(float(brightest), 10 * top))
        unknown = np.where(np.isfinite(object_nNN[k]), object_nNN[k], np.nan)
        _picture(figure, row[0], X_nNN[k], "magma", scale, "measured amplitude")
        _picture(figure, row[1], A_nNN[k], "magma", scale, "predicted amplitude")
        _picture(figure, row[2], np.abs(unknown), "viridis", None, "predicted object: amplitude")
        _picture(figure, row[3], np.angle(unknown), "twilight", Normalize(-np.pi, np.pi), "phase (rad)")
        row[0].set_xlabel(f"pattern {moment.patterns[worst[k]]}, error {errors[worst[k]]:.3g}", fontsize=LABEL)
    return figure


def _picture(
    figure: Figure, axes: Axes, values_NN: NDArray[Any], colours: str, norm: Normalize | None, title: str
) -> None:
    shown = np.ma.masked_invalid(values_NN)
    if isinstance(norm, LogNorm):
        # A zero has no place on a logarithmic scale: it is drawn as the smallest value.
        shown = np.ma.clip(shown, norm.vmin, None)
    drawn = axes.imshow(shown, cmap=colormaps[colours].with_extremes(bad=MISSING), norm=norm, interpolation="nearest")
    axes.set_title(title, fontsize=TITLE)
    axes.set_xticks([])
    axes.set_yticks([])
    if shown.count():
        bar = figure.colorbar(
            drawn, ax=axes, fraction=0.05, pad=0.02, extend="both" if isinstance(norm, LogNorm) else "neither"
        )
        bar.ax.tick_params(labelsize=TICK)


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.float64]:
    return np.array([row[name] for row in rows], dtype=np.float64)


def _dots(axes: Axes, before: NDArray[np.float64] | None, onset: NDArray[np.float64], label: str) -> None:
    """Values by layer on a logarithmic axis, joined by a line that shows the way from the step before."""
    place = np.arange(len(onset))
    if before is not None and np.isfinite(before).any():
        axes.hlines(place, before, onset, color="0.85", linewidth=1.5, zorder=1)
        axes.plot(before, place, "o", color=BEFORE, markersize=4, label="step before")
        axes.plot(onset, place, "o", color=ONSET, markersize=4, label="onset")
        axes.legend(fontsize=TICK, frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)
    else:
        axes.plot(onset, place, "o", color=ONSET, markersize=4)
    positive = np.concatenate([part[np.isfinite(part) & (part > 0)] for part in (before, onset) if part is not None])
    if positive.size:
        axes.set_xscale("log")
    axes.set_xlabel(label, fontsize=LABEL)


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names, fontsize=TICK, family="monospace")
    axes.set_ylim(len(names) - 0.5, -0.5)


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=TICK)
    axes.tick_params(axis="y", length=0)
    axes.grid(color="0.93", linewidth=0.8)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
