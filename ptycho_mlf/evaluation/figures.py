"""Figures of a run: reconstructions beside the truth, ring correlation, training history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from ptycho_mlf.drawing import bar_axes, fixed_figure, fixed_panels

from .evaluate import FRC_METRICS, Evaluation
from .frc import NYQUIST, Curve, FrcCurve

TITLE, LABEL, TICK = 11.0, 10.0, 9.0
"""Font sizes, pt."""
COLOURS = {"best": "#0072b2", "last": "#d55e00", "model": "#0072b2", "checkpoint": "#0072b2", "floor": "#666666"}
"""Distinct for colour-blind readers (Okabe and Ito)."""
MAPS = {"amp": "viridis", "phase": "cividis", "error": "RdBu_r"}
NAMES = {"amp": "amplitude", "phase": "phase", "complex": "complex object"}
UNITS = {"amp": "object units", "phase": "rad"}
ERROR_QUANTILE = 0.995
"""Share of error pixels inside the colour scale; the rest is drawn in the end colours."""
TRACE_BUCKETS = 1500
"""A longer trace is drawn as minimum and maximum of so many buckets, so that no spike is lost."""

Image = NDArray[np.float64]


def comparison_figure(runs: Mapping[str, Evaluation]) -> Figure:
    """Amplitude and phase of the truth, of each scored set of weights, and their errors; scales shared by row.

    Args:
        runs: "best" and "last" weights, or one of them.
    """
    images, errors = 1 + len(runs), len(runs)
    panel, across, down, bar = 2.15, 0.2, 0.62, 1.05
    margins = (0.62, bar, 0.55, 0.5)
    widths = [panel] * images + [bar - 2 * across] + [panel] * errors
    figure = fixed_figure(0.62 + sum(widths) + across * (images + errors) + bar, 0.55 + 2 * panel + down + 0.5)
    shared = {"sharex": True, "sharey": True}
    grid = fixed_panels(
        figure, 2, len(widths), margins=margins, across=across, down=down, width_ratios=widths, **shared
    )
    for unused in grid[:, images]:  # The place of the colour bar.
        unused.remove()
    grid = np.delete(grid, images, axis=1)
    for axes, kind in zip(grid, ("amp", "phase"), strict=True):
        _comparison_row(figure, list(axes), kind, runs)
    for axes in grid[:, 0]:
        axes.set_ylabel("row (px)", fontsize=LABEL)
    for axes in grid[-1]:
        axes.set_xlabel("column (px)", fontsize=LABEL)
    return figure


def _comparison_row(figure: Figure, axes: Sequence[Axes], kind: str, runs: Mapping[str, Evaluation]) -> None:
    first, images_end = next(iter(runs.values())), 1 + len(runs)
    truth = first.constant.images(kind)[1]
    shown = {name: run.aligned for name, run in runs.items()}
    images = {name: None if pair is None else pair.images(kind)[0] for name, pair in shown.items()}
    errors = {name: None if pair is None else pair.error(kind) for name, pair in shown.items()}
    scale = _value_scale(truth, [image for image in images.values() if image is not None])
    error_scale = _error_scale([error for error in errors.values() if error is not None])
    _show(axes[0], truth, MAPS[kind], scale, f"truth, {NAMES[kind]}")
    for panel, error_panel, (name, run) in zip(axes[1:images_end], axes[images_end:], runs.items(), strict=True):
        why = run.reasons.get("amplitude_factor", "")
        _show(panel, images[name], MAPS[kind], scale, f"{name} weights\n{_score_line(run, kind)}", why)
        _show(error_panel, errors[name], MAPS["error"], error_scale, f"{name} − truth", why)
    removed = f", {first.alignment_mode} removed" if kind == "phase" else ""
    _colour_bar(figure, axes[:images_end], MAPS[kind], scale, f"{NAMES[kind]}{removed} ({UNITS[kind]})")
    _colour_bar(figure, axes[images_end:], MAPS["error"], error_scale, f"{NAMES[kind]} error ({UNITS[kind]})")


def _colour_bar(figure: Figure, panels: Sequence[Axes], colours: str, scale: Normalize, label: str) -> None:
    place = bar_axes(figure, panels, 0.12, 0.1)
    bar = figure.colorbar(ScalarMappable(scale, colours), cax=place, extend="both", extendfrac=0.03)
    bar.set_label(label, fontsize=LABEL)
    bar.ax.tick_params(labelsize=TICK)


def _value_scale(truth: Image, images: Sequence[Image]) -> Normalize:
    """From the least to the greatest true value; where the truth is flat, what the predictions span."""
    values = [truth] if np.ptp(truth) > 1e-6 else [truth, *images]
    low, high = min(float(v.min()) for v in values), max(float(v.max()) for v in values)
    return Normalize(low, max(high, low + 1e-3))


def _error_scale(errors: Sequence[Image]) -> Normalize:
    limit = max((float(np.quantile(np.abs(error), ERROR_QUANTILE)) for error in errors), default=1.0)
    return Normalize(-max(limit, 1e-6), max(limit, 1e-6))


def _show(axes: Axes, image: Image | None, colours: str, scale: Normalize, title: str, why: str = "") -> None:
    axes.set_title(title, fontsize=TITLE, y=1.0)
    axes.tick_params(labelsize=TICK)
    axes.set_aspect("equal")
    if image is None:
        axes.set_facecolor("0.93")
        axes.text(0.5, 0.5, f"no image:\n{why}", ha="center", va="center", fontsize=LABEL, transform=axes.transAxes)
    else:
        axes.imshow(image, cmap=colours, norm=scale, interpolation="nearest")


def _score_line(run: Evaluation, kind: str) -> str:
    ssim, mae = run.metrics[f"ssim_{kind}"], run.metrics[f"mae_{kind}"]
    if ssim is None and mae is None:
        return f"no scores: {run.reasons[f'mae_{kind}']}"
    unit = " rad" if kind == "phase" else ""
    return f"SSIM {_number(ssim)}, MAE {_number(mae)}{unit if mae is not None else ''}"


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


def frc_figure(runs: Mapping[str, Evaluation]) -> Figure:
    """Fourier ring correlation with the truth of complex object, amplitude and phase, with the thresholds.

    Args:
        runs: "best" and "last" weights, or one of them.
    """
    figure = fixed_figure(13.2, 4.9)
    grid = fixed_panels(figure, 1, 3, margins=(0.68, 0.2, 1.45, 0.3), across=0.36, sharex=True, sharey=True)[0]
    for axes, kind in zip(grid, ("complex", "amp", "phase"), strict=True):
        for name, run in runs.items():
            _frc_line(axes, kind, name, run)
        axes.set_title(NAMES[kind], fontsize=TITLE, y=1.0)
        axes.set_xlabel("spatial frequency (cycles/px)", fontsize=LABEL)
        axes.tick_params(labelsize=TICK)
        axes.grid(alpha=0.25)
        # Below the axes, where it never covers a line.
        axes.legend(fontsize=TICK, loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False)
    curves = [curve for run in runs.values() for curve in run.frc.values()]
    if curves:
        _thresholds(figure, grid, curves[0])
    lowest = min((float(curve.correlation.min()) for curve in curves), default=0.0)
    grid[0].set_xlim(0, NYQUIST)
    grid[0].set_ylim(min(lowest, -0.05) - 0.05, 1.05)
    grid[0].set_ylabel("Fourier ring correlation", fontsize=LABEL)
    return figure


def _thresholds(figure: Figure, grid: Sequence[Axes], curve: FrcCurve) -> None:
    """They depend on the image size only, so one curve tells them for all panels."""
    lines = [
        axes.plot(curve.frequency, curve.threshold(name), style, color="0.55", lw=1, zorder=1)[0]
        for name, style in zip(FRC_METRICS.values(), ("-", ":", "-."), strict=True)
        for axes in grid
    ]
    names = [f"threshold {name}" for name in FRC_METRICS.values()]
    figure.legend(lines[:: len(grid)], names, fontsize=TICK, loc="lower center", ncols=3, frameon=False)


def _frc_line(axes: Axes, kind: str, name: str, run: Evaluation) -> None:
    style: dict[str, Any] = {"color": COLOURS[name], "ls": "--" if name == "last" else "-", "lw": 1.8}
    curve = run.frc.get(kind)
    if curve is None:
        axes.plot([], [], label=f"{name} weights: n/a ({run.reasons[f'frc50_{kind}']})", **style)
        return
    crossing = curve.crossings["0.5"]
    where = {
        "": f"0.5 at {crossing.frequency:.3f} cycles/px",
        "censored": "never below 0.5",
        "none": "below 0.5 from the start",
    }
    axes.plot(curve.frequency, curve.correlation, label=f"{name} weights: {where[crossing.flag]}", **style)
    if not crossing.flag:
        axes.plot([crossing.frequency], [0.5], "o", color=COLOURS[name], ms=5)


def history_figure(
    *,
    step: ArrayLike,
    train_loss: ArrayLike,
    learning_rate: ArrayLike,
    grad_norm_preclip: ArrayLike,
    grad_norm_postclip: ArrayLike,
    epoch_end_step: ArrayLike,
    val_loss: ArrayLike,
    floor: float | None,
) -> Figure:
    """Loss, learning rate and gradient norm over the global step; values that are not finite are crosses on top.

    Args:
        step: global step of every row of the trace, (T,).
        train_loss: batch loss, (T,). The axis is logarithmic where all losses are positive.
        learning_rate: (T,).
        grad_norm_preclip: global gradient norm before clipping, (T,); zeros are left out.
        grad_norm_postclip: after clipping, (T,); drawn where it differs.
        epoch_end_step: last global step of every epoch, (E,).
        val_loss: validation loss of every epoch, (E,).
        floor: loss of the best constant object on the validation set, or None.
    """
    steps, epochs = np.asarray(step, float), np.asarray(epoch_end_step, float)
    before, after = np.asarray(grad_norm_preclip, float), np.asarray(grad_norm_postclip, float)
    losses = [np.asarray(train_loss, float), np.asarray(val_loss, float)]
    figure = fixed_figure(10.0, 8.6)
    margins = (0.92, 0.1, 0.52, 0.5)  # Above, two lines of names where there are crosses too.
    grid = fixed_panels(figure, 3, 1, margins=margins, down=0.42, sharex=True, height_ratios=(2, 1, 1.6))
    loss_axes, rate_axes, norm_axes = grid[:, 0]
    _trace(loss_axes, steps, losses[0], COLOURS["best"], "train, per batch", lw=0.9)
    if epochs.size:
        _trace(loss_axes, epochs, losses[1], COLOURS["last"], "validation, per epoch", marker="o", ms=4, lw=1.4)
    if floor is not None:
        loss_axes.axhline(floor, color=COLOURS["floor"], ls="--", lw=1.4, label=f"constant object ({floor:.4g})")
    _trace(rate_axes, steps, np.asarray(learning_rate, float), "black", "learning rate", lw=1.4)
    clipped = not np.array_equal(before, after, equal_nan=True)
    _trace(norm_axes, steps, before, COLOURS["best"], "before clipping" if clipped else "never clipped", lw=1.2)
    if clipped:
        _trace(norm_axes, steps, after, COLOURS["last"], "after clipping", lw=0.8)
    known = np.concatenate([values[np.isfinite(values)] for values in losses])
    if known.size and known.min() > 0:
        loss_axes.set_yscale("log")
    if np.any(before[np.isfinite(before)] > 0):
        norm_axes.set_yscale("log", nonpositive="mask")
    labels = {loss_axes: "loss (dimensionless)", rate_axes: "learning rate", norm_axes: "gradient norm (loss / weight)"}
    for axes, label in labels.items():
        axes.set_ylabel(label, fontsize=LABEL)
        axes.tick_params(which="both", labelsize=TICK)
        axes.margins(x=0.01)
        axes.vlines(epochs, 0, 1, transform=axes.get_xaxis_transform(), color="0.88", lw=0.8, zorder=0)
        if axes is not rate_axes:
            axes.grid(axis="y", alpha=0.25)
            # Above the axes, where it never covers a line.
            axes.legend(fontsize=TICK, loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False)
    rate_axes.set_ylim(bottom=0)
    rate_axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 3))
    norm_axes.set_xlabel("global step (grey lines: ends of epochs)", fontsize=LABEL)
    figure.align_ylabels()
    return figure


def _trace(
    axes: Axes, steps: NDArray[np.float64], values: NDArray[np.float64], colour: str, label: str, **style: Any
) -> None:
    """A line with gaps where values are not finite; those are crosses at the top edge."""
    finite = np.isfinite(values)
    axes.plot(*_thinned(steps, np.where(finite, values, np.nan)), color=colour, label=label, **style)
    if not finite.all():
        lost, edge = steps[~finite], axes.get_xaxis_transform()
        axes.plot(lost, np.full(lost.size, 0.97), "x", color=colour, transform=edge, label=f"{label}: not finite")


def _thinned(steps: Curve, values: Curve) -> tuple[Curve, Curve]:
    """Minimum and maximum of every bucket, in the order in which they occur."""
    if values.size <= 2 * TRACE_BUCKETS:
        return steps, values
    kept: list[int] = []
    for bucket in np.array_split(np.arange(values.size), TRACE_BUCKETS):
        known = bucket[np.isfinite(values[bucket])]
        if known.size == 0:
            kept.append(int(bucket[0]))
        else:
            kept.extend(sorted({int(known[values[known].argmin()]), int(known[values[known].argmax()])}))
    return steps[kept], values[kept]
