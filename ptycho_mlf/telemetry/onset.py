"""Where a training began to fail, and which layer moved first. Works on what the host has read, step by step.

An event is a spike of the loss (see `spikes`), in the first steps, where there is no history to speak of, a loss more
than twice as high as any before, or a step that is not finite. Spikes that follow each other are one event, and its
first step is the onset. The worst event is kept: the non-finite one, else the one that rose highest above its median.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .gradient_statistics import Array, Layer, LayerRows
from .spikes import LEAST, MAD_TO_SIGMA, SIGMAS, WINDOW, median_and_sigma, spike_steps

JUMP = 2.0
"""Factor over the highest loss so far that counts while there are fewer than `LEAST` steps."""
SAME_EVENT = 50
"""Spikes at most so many steps apart are one event."""
SETTLED = 5
"""Steps just before the onset that are not part of its baseline, where there are enough others."""
LOOK_BACK, LOOK_AHEAD = 20, 10
"""Steps around the onset among which the first mover is searched."""
LEAST_FACTOR = {"weight_norm": 1.5, "grad_norm": 3.0, "update_ratio": 3.0}
"""What counts as having moved, at least; also the order within a step: weights make gradients make updates."""


@dataclass(frozen=True)
class Event:
    """Something that went wrong."""

    kind: Literal["spike", "jump", "nonfinite"]
    step: int
    """The onset."""
    loss: float
    """At the onset; may not be finite."""
    median: float
    sigma: float
    """Of the losses before the onset."""
    worst: float
    """Highest loss of the event over the median before it; infinite if it was not finite."""
    last_step: int
    """The last step that still counts."""
    nonfinite_step: int | None = None


class OnsetWatch:
    """Is given losses as they are read and finds the events."""

    def __init__(self) -> None:
        self._losses: Array = np.empty(0)
        self.latest: Event | None = None
        self.worst: Event | None = None
        self.events = 0

    def add(self, step: int, loss: float, *, finite: bool) -> None:
        """One step, in order; `finite` is False where the loss or a gradient is not, and then it is the last."""
        self._losses = np.append(self._losses[-WINDOW:], loss)
        kind = _kind(self._losses) if finite else "nonfinite"
        if kind is None:
            return
        median, sigma = median_and_sigma(self._losses[:-1])
        rise = loss / median if finite and median > 0 else np.inf
        event = self.latest
        if event is not None and step - event.last_step <= SAME_EVENT:
            event = replace(event, last_step=step, worst=max(event.worst, rise))
        else:
            event = Event(kind, step, loss, median, sigma, rise, step)
            self.events += 1
        if not finite:
            event = replace(event, kind="nonfinite", nonfinite_step=step)
        self.latest = event
        if self.worst is None or event.step == self.worst.step or event.worst > self.worst.worst:
            self.worst = event


def _kind(losses: Array) -> Literal["spike", "jump"] | None:
    """What the last of the losses is."""
    before = losses.size - 1
    if before >= LEAST:
        return "spike" if spike_steps(losses, start=before).size else None
    return "jump" if before and losses[-1] > JUMP * losses[:-1].max() else None


@dataclass(frozen=True)
class Move:
    """The first thing a layer did that it had not done before."""

    layer: str
    quantity: str
    step: int
    factor: float
    """Over its median before the onset; infinite where it was not finite."""


def baseline(rows: LayerRows, onset: int) -> NDArray[np.bool_]:
    """Which rows say what was normal before an onset."""
    before = rows.step < onset
    settled = rows.step < onset - SETTLED
    return settled if settled.sum() >= 2 * SETTLED else before


def relative(values_SL: Array, normal: NDArray[np.bool_]) -> Array:
    """log10 of values over their medians in the normal rows, (S, L); NaN where either is zero or unknown, or no median.

    A value that is not a number is NaN too; an infinite one stays infinite.
    """
    logs = np.full_like(values_SL, np.nan)
    np.log10(values_SL, where=values_SL > 0, out=logs)
    return logs - _median(logs[normal])


def first_moves(rows: LayerRows, layers: Sequence[Layer], onset: int) -> list[Move]:
    """Every layer that moved around an onset with its first move, the earliest first.

    A quantity moved where it exceeds its median before the onset by a factor of `LEAST_FACTOR` and its logarithm by
    7 sigma of what is normal, or where it is not finite. Within a step weights come before gradients before updates,
    then the greater factor.
    """
    normal = baseline(rows, onset)
    if not normal.any():
        return []
    near = (rows.step >= onset - LOOK_BACK) & (rows.step <= onset + LOOK_AHEAD) & ~normal
    moves: dict[str, tuple[int, int, float, Move]] = {}
    for rank, (quantity, least) in enumerate(LEAST_FACTOR.items()):
        values = getattr(rows, quantity)
        away = relative(values, normal)
        spread = MAD_TO_SIGMA * _median(np.abs(away[normal]))
        broken = ~np.isfinite(values) if quantity == "grad_norm" else np.isinf(values)
        moved = (away > np.maximum(np.log10(least), SIGMAS * spread)) | broken
        factors = np.where(broken, np.inf, 10.0 ** np.minimum(away, 300))
        for k, layer in enumerate(layers):
            found = np.flatnonzero(moved[:, k] & near)
            if not found.size:
                continue
            step, factor = int(rows.step[found[0]]), float(factors[found[0], k])
            entry = (step, rank, -factor, Move(layer.name, quantity, step, factor))
            if layer.name not in moves or entry[:3] < moves[layer.name][:3]:
                moves[layer.name] = entry
    return [entry[3] for entry in sorted(moves.values(), key=lambda entry: entry[:3])]


def moved_together(moves: Sequence[Move], layers: int) -> bool:
    """True when at least 80 % of the layers made their first move in the same step, by their gradients."""
    if not moves:
        return False
    first = moves[0]
    same = sum(m.step == first.step and m.quantity != "weight_norm" for m in moves)
    return first.quantity == "grad_norm" and layers > 1 and same >= 0.8 * layers


def _median(values_SL: Array) -> Array:
    """Median of every column over what is known, NaN where nothing is."""
    known = ~np.isnan(values_SL).all(axis=0)
    medians = np.full(values_SL.shape[1], np.nan)
    medians[known] = np.nanmedian(values_SL[:, known], axis=0)
    return medians
