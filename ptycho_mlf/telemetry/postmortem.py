"""What is known of the steps around an onset: which layer moved first, and the batch that did it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .gradient_report import SCHEMA_VERSION, histogram_json, number
from .gradient_statistics import Layer, LayerRows
from .onset import Event, Move, first_moves, moved_together
from .spikes import SIGMAS

BACK = 10
"""Steps without a high loss that count as recovery."""
UNUSUAL = 5.0
"""A pattern whose mean amplitude is more than this factor from the median of all patterns is named."""


@dataclass(frozen=True)
class Suspect:
    """The batch of the onset."""

    epoch: int
    """From 1."""
    batch: int
    """Within the epoch, from 0."""
    patterns: NDArray[np.integer[Any]]
    """Indices into the train scan."""
    brightness: NDArray[np.float64]
    """Mean amplitude of each pattern over the median of all train patterns."""

    @property
    def unusual(self) -> list[int]:
        """Positions of patterns that are far brighter or darker than usual, the strangest first."""
        away = np.abs(np.log(np.maximum(np.nan_to_num(self.brightness, nan=np.inf), 1e-30)))
        return [int(k) for k in np.argsort(-away, kind="stable") if away[k] > np.log(UNUSUAL)]


@dataclass(frozen=True)
class Postmortem:
    """Everything the page and the JSON show."""

    event: Event
    events: int
    """Events in the whole training; this is the worst."""
    layers: Sequence[Layer]
    rows: LayerRows
    """The steps around the onset."""
    histograms: Mapping[str, tuple[int, NDArray[np.int64]]]
    """"before" and "after" the onset, as far as there are any: the step and the gradients' counts, (L, BINS)."""
    suspect: Suspect

    @property
    def moves(self) -> list[Move]:
        """First moves of the layers, the earliest first."""
        return first_moves(self.rows, self.layers, self.event.step)

    def recovered_step(self) -> int | None:
        """First step after the onset at which the loss is back for `BACK` steps: below twice its median, or 7 sigma."""
        rows, event = self.rows, self.event
        if event.nonfinite_step is not None or not np.isfinite(event.median):
            return None
        after = rows.step >= event.step
        low = rows.loss[after] < max(2 * event.median, event.median + SIGMAS * event.sigma)
        back = np.flatnonzero(np.convolve(low, np.ones(BACK), "valid") == BACK) if low.size >= BACK else []
        return int(rows.step[after][back[0]]) if len(back) else None

    def sentence(self) -> str:
        """What happened, in a few sentences."""
        event, moves = self.event, self.moves
        rise = f"from a median of {event.median:.3g} to {event.loss:.3g}" if np.isfinite(event.median) else "at once"
        what = f"rose {rise}" if np.isfinite(event.loss) else "was not finite"
        parts = [f"At step {event.step} (epoch {self.suspect.epoch}) the loss {what}."]
        if event.kind == "nonfinite" and event.nonfinite_step != event.step:
            parts.append(f"At step {event.nonfinite_step} it or a gradient was no longer finite.")
        parts.append(self._first_mover(moves))
        unusual = self.suspect.unusual
        if unusual:
            k = unusual[0]
            more = f", and {len(unusual) - 1} more of this batch are unusual" if len(unusual) > 1 else ""
            parts.append(
                f"Pattern {self.suspect.patterns[k]} of this batch has {self.suspect.brightness[k]:.3g} times the "
                f"usual mean amplitude{more}."
            )
        recovered = self.recovered_step()
        if recovered is not None:
            parts.append(f"The loss was back by step {recovered}.")
        return " ".join(parts)

    def _first_mover(self, moves: Sequence[Move]) -> str:
        if not moves:
            return "The loss rose alone: no layer's norms left what was normal for them."
        first = moves[0]
        name = QUANTITIES[first.quantity]
        how = f"{first.factor:.3g} times its median" if np.isfinite(first.factor) else "not finite"
        if moved_together(moves, len(self.layers)):
            together = sum(m.step == first.step for m in moves)
            text = f"The gradients of {together} of {len(self.layers)} layers moved together at step {first.step}"
            return f"{text}, most of all those of {first.layer} ({how}): no single layer led."
        return f"{first.layer} moved first: at step {first.step} its {name} was {how}."

    def as_json(self) -> dict[str, Any]:
        """onset.json."""
        event, suspect = self.event, self.suspect
        return {
            "schema_version": SCHEMA_VERSION,
            "sentence": self.sentence(),
            "kind": event.kind,
            "step": event.step,
            "nonfinite_step": event.nonfinite_step,
            "events": self.events,
            "loss": number(event.loss),
            "loss_median_before": number(event.median),
            "loss_sigma_before": number(event.sigma),
            "recovered_step": self.recovered_step(),
            "moved_together": moved_together(self.moves, len(self.layers)),
            "first_moves": [
                {"layer": m.layer, "quantity": m.quantity, "step": m.step, "factor": number(m.factor)}
                for m in self.moves
            ],
            "batch": {
                "epoch": suspect.epoch,
                "batch": suspect.batch,
                "patterns": [int(k) for k in suspect.patterns],
                "brightness": [number(b) for b in suspect.brightness],
                "unusual_patterns": [int(suspect.patterns[k]) for k in suspect.unusual],
            },
            "layers": [layer.name for layer in self.layers],
            "steps": self.rows.step.tolist(),
            "loss_trace": [number(loss) for loss in self.rows.loss],
            "grad_norm": _table(self.rows.grad_norm),
            "weight_norm": _table(self.rows.weight_norm),
            "update_ratio": _table(self.rows.update_ratio),
            "gradient_histograms": {
                when: {"step": step, "layers": [histogram_json(row) for row in counts]}
                for when, (step, counts) in self.histograms.items()
            },
        }


QUANTITIES = {"grad_norm": "gradient norm", "weight_norm": "weight norm", "update_ratio": "update ratio"}


def _table(values_SL: NDArray[np.float64]) -> list[list[float | None]]:
    return [[number(value) for value in row] for row in values_SL]
