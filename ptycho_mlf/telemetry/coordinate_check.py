"""Coordinate check: does a training step change the outputs of every layer by the same amount, however wide they are?

After a few steps the size of the change of each output is held against the width of the network. Where it is the same
at every width, a learning rate found at a small width serves a large one (Yang et al., Tensor programs V, 2022,
arXiv:2203.03466, appendix D.1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from .activation_statistics import observed
from .signal_propagation import rms

Changes = Mapping[str, list[float]]
"""Place to RMS of x_t - x_0 after t = 1..T steps, x being its output."""


@dataclass(frozen=True)
class Scaling:
    """How the change of one place depends on the width, over S seeds, W widths and T steps."""

    place: str
    change_SWT: NDArray[np.float64]
    slope: float | None
    """d log(change) / d log(width) after the last step, mean over seeds; None where a change is 0 or not finite."""
    slope_spread: float | None
    """Standard deviation over seeds; None for one seed, or without a slope."""

    @property
    def mean_W(self) -> NDArray[np.float64]:
        """Change after the last step, mean over seeds."""
        return self.change_SWT[:, :, -1].mean(axis=0)


def track_changes(model: nn.Module, batch: Tensor, step: Callable[[], object], steps: int) -> Changes:
    """Take steps and see how far the output of every place has moved from where it was before the first.

    The outputs before the first step are kept, so memory is that of all activations of the batch.

    Args:
        model: the network, which runs in the mode it is in.
        batch: its input (B, ...).
        step: one training step.
        steps: T >= 1.
    """
    initial = _outputs(model, batch)
    changes: dict[str, list[float]] = {place: [] for place in initial}
    for _ in range(steps):
        step()
        for place, output in _outputs(model, batch).items():
            changes[place].append(rms(output - initial[place]))
    return changes


def scalings(widths: Sequence[int], trials: Sequence[Sequence[Changes]]) -> list[Scaling]:
    """Fit the slope of every place.

    Args:
        widths: W >= 2 widths.
        trials: changes of each seed (outer) and width (inner), of networks with the same places.

    Raises:
        ValueError: networks with different places.
    """
    places = list(trials[0][0])
    if any(list(changes) != places for row in trials for changes in row):
        raise ValueError("coordinate check of networks with different places")
    return [_scaling(widths, place, np.array([[c[place] for c in row] for row in trials])) for place in places]


def log_log_slope(x: ArrayLike, y: ArrayLike) -> float | None:
    """Least-squares slope of log y over log x; None where a value is not positive or not finite."""
    x_K, y_K = np.asarray(x, float), np.asarray(y, float)
    if not (np.isfinite(y_K).all() and (y_K > 0).all()):
        return None
    return float(np.polyfit(np.log(x_K), np.log(y_K), 1)[0])


def _scaling(widths: Sequence[int], place: str, change_SWT: NDArray[np.float64]) -> Scaling:
    slopes = [log_log_slope(widths, change_W) for change_W in change_SWT[:, :, -1]]
    known = [slope for slope in slopes if slope is not None]
    if len(known) < len(slopes):
        return Scaling(place, change_SWT, None, None)
    spread = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return Scaling(place, change_SWT, float(np.mean(known)), spread)


def _outputs(model: nn.Module, batch: Tensor) -> dict[str, Tensor]:
    kept: dict[str, Tensor] = {}

    def look(place: str, _: nn.Module, output: Tensor) -> None:
        kept[place] = output.detach().clone()

    with torch.no_grad(), observed(model, look):
        model(batch)
    return kept
