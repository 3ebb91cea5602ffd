"""The post-mortem as one HTML page: what happened, the steps around the onset, the batch that did it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ptycho_mlf.drawing import new_figure

from .gradient_figures import LABEL, TICK, TITLE, draw_cells, histogram_figure, name_layers
from .html_page import image, page, pairs, paragraph, section, table
from .onset import LEAST_FACTOR, baseline, relative
from .postmortem import QUANTITIES, Postmortem

SHOWN_BEFORE, SHOWN_AFTER = 60, 30
"""Steps around the onset in the figure."""
DECADES = 3.0
"""The colours of the heatmaps span so many decades on either side of the median."""
ACCENT = "#d55e00"
MOVES_SHOWN = 12


def postmortem_page(found: Postmortem) -> str:
    """HTML of a post-mortem."""
    event = found.event
    return page(
        f"Post-mortem: {_KINDS[event.kind]}",
        [
            paragraph(found.sentence(), "found"),
            image(onset_figure(found), "Loss and per-layer norms around the onset"),
            paragraph(
                "Norms over their medians before the onset (left of the dashed line, without its last steps); layers "
                "from input to output. Circles: first moves, squares: those of the weights. Grey: zero or no median; "
                "black: not finite."
            ),
            section("Which layer moved first", _moves(found)),
            section("The batch", _batch(found)),
            *_histograms(found),
        ],
    )


_KINDS = {"spike": "a spike of the loss", "jump": "a jump of the loss", "nonfinite": "numbers that are not finite"}


def onset_figure(found: Postmortem) -> Figure:
    """Loss, and gradient norms and update ratios of all layers relative to what was normal, around the onset."""
    rows, event = found.rows, found.event
    shown = (rows.step >= event.step - SHOWN_BEFORE) & (rows.step <= event.step + SHOWN_AFTER)
    steps = rows.step[shown]
    normal = baseline(rows, event.step)
    figure = new_figure(11.5, 2.6 + 2 * max(1.2, 0.15 * len(found.layers) + 0.4))
    height = max(1.2, 0.15 * len(found.layers) + 0.4)
    top, *panels = figure.subplots(3, 1, sharex=True, height_ratios=[1.6, height, height])
    _loss(top, found, steps, rows.loss[shown])
    first = {move.layer: move for move in found.moves}
    for axes, shown_here in zip(panels, (("grad_norm", "weight_norm"), ("update_ratio",)), strict=True):
        quantity = shown_here[0]
        values = getattr(rows, quantity)
        away = relative(values, normal) if normal.any() else np.full_like(values, np.nan)
        away[~np.isfinite(values) & ~np.isfinite(rows.grad_norm)] = np.inf
        limit = _limit(away[shown])
        draw_cells(figure, axes, steps, away[shown], "RdBu_r", Normalize(-limit, limit), "log$_{10}$ of the factor")
        axes.set_title(f"{QUANTITIES[quantity]} over its median", fontsize=TITLE, loc="left")
        name_layers(axes, found.layers)
        for k, layer in enumerate(found.layers):
            move = first.get(layer.name)
            if move is not None and move.quantity in shown_here and steps[0] <= move.step <= steps[-1]:
                marker = "s" if move.quantity == "weight_norm" else "o"
                axes.plot(move.step, k, marker=marker, markersize=4, markerfacecolor="white", color="black")
    for axes in panels:
        axes.axvline(event.step - 0.5, color=ACCENT, linestyle="--", linewidth=1)
    panels[-1].set_xlabel("step", fontsize=LABEL)
    return figure


def _limit(away: np.ndarray) -> float:
    known = np.abs(away[np.isfinite(away)])
    return float(np.clip(np.quantile(known, 0.99), 1.0, DECADES)) if known.size else 1.0


def _loss(axes: Axes, found: Postmortem, steps: np.ndarray, loss: np.ndarray) -> None:
    event = found.event
    known = loss[np.isfinite(loss)]
    axes.plot(steps, np.where(np.isfinite(loss), loss, np.nan), color="black", linewidth=1, marker=".")
    if np.isfinite(event.median):
        axes.axhline(event.median, color="0.6", linewidth=1, label="median before the onset")
    axes.axvline(event.step - 0.5, color=ACCENT, linestyle="--", linewidth=1, label="onset")
    if event.nonfinite_step is not None:
        axes.axvline(event.nonfinite_step, color="black", linewidth=2, label="not finite")
    axes.legend(fontsize=TICK, loc="upper left", frameon=False, ncols=3)
    if known.size and known.min() > 0:  # A Poisson loss is negative.
        axes.set_yscale("log")
    axes.set_title("batch loss", fontsize=TITLE, loc="left")
    axes.tick_params(labelsize=TICK)
    axes.spines[["top", "right"]].set_visible(False)


def _moves(found: Postmortem) -> str:
    moves = found.moves
    if not moves:
        return paragraph("No layer moved.")
    heads = ("layer", "step", "what", "factor over its median")
    rows = [
        (m.layer, m.step, QUANTITIES[m.quantity], m.factor if np.isfinite(m.factor) else "not finite")
        for m in moves[:MOVES_SHOWN]
    ]
    least = ", ".join(f"{factor:g} times ({QUANTITIES[name]})" for name, factor in LEAST_FACTOR.items())
    more = f" {len(moves) - MOVES_SHOWN} more in onset.json." if len(moves) > MOVES_SHOWN else ""
    return table(heads, rows) + paragraph(
        f"Moved: above the median before the onset by 7 sigma and {least}. Within a step, weights come before "
        f"gradients before updates, then the larger factor.{more}"
    )


def _batch(found: Postmortem) -> str:
    suspect, event = found.suspect, found.event
    unusual = [f"{suspect.patterns[k]} ({suspect.brightness[k]:.3g} times)" for k in suspect.unusual]
    return pairs(
        {
            "loss": f"{event.loss:.6g} at step {event.step}, median before {event.median:.6g}",
            "place": f"epoch {suspect.epoch}, batch {suspect.batch} of it",
            "patterns of the train scan": ", ".join(str(k) for k in suspect.patterns),
            "unusual mean amplitude": ", ".join(unusual) or "none: every pattern is within a factor of 5 of the median",
        }
    )


def _histograms(found: Postmortem) -> list[str]:
    if not found.histograms:
        return []
    titled = {f"gradients {when} the onset": taken for when, taken in found.histograms.items()}
    return [section("Gradients around the onset", image(histogram_figure(titled, found.layers), "Gradient histograms"))]
