"""Critical learning rate and sharpness on a fixed batch of train patterns, at the end of every n-th epoch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from ptycho_mlf.telemetry import critical_rate as rate_search
from ptycho_mlf.telemetry import sharpness as power
from ptycho_mlf.telemetry.critical_rate import critical_rate, update_direction
from ptycho_mlf.telemetry.norms import norm
from ptycho_mlf.telemetry.sharpness import sharpness

from .activation_monitor import spread
from .clipping import Clipper
from .data_module import Batch
from .instruments import Instrument
from .module import PtychoModule


class CurvatureMonitor(Instrument):
    """Looks at the loss around the present weights, in their own precision whatever the autocast of the training.

    The batch has as many patterns as a step, evenly from all train patterns. Weights, gradients, optimizer, clipper and
    random states are afterwards what they were.
    """

    def __init__(self, critical_rate_epochs: int, sharpness_epochs: int) -> None:
        """Start empty.

        Args:
            critical_rate_epochs: epochs between two critical rates; 0 for none.
            sharpness_epochs: the same of the sharpness.
        """
        self._critical_rate_epochs, self._sharpness_epochs = critical_rate_epochs, sharpness_epochs
        self._patterns = 0
        self.critical_rates: list[dict[str, Any]] = []
        self.sharpnesses: list[dict[str, Any]] = []

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: PtychoModule) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Look if it is time, unless a step was not finite: there is no next step then."""
        epoch = trainer.current_epoch + 1
        wants_rate, wants_top = _due(epoch, self._critical_rate_epochs), _due(epoch, self._sharpness_epochs)
        if pl_module.trace.nonfinite_step is not None or not (wants_rate or wants_top):
            return
        patterns = trainer.datamodule.train_set  # pyright: ignore[reportAttributeAccessIssue]
        chosen = spread(len(patterns), pl_module.config.training.batch_size)
        self._patterns = len(chosen)
        batch: Batch = patterns[chosen.tolist()]
        place = {"epoch": epoch, "step": pl_module.steps_taken}
        loss = _loss(pl_module, batch)
        if not math.isfinite(loss.item()):
            return
        if wants_top:
            found = sharpness(loss, list(pl_module.model.parameters()))
            self.sharpnesses.append(place | {"top": found.top, "residual": found.residual, "products": found.products})
        if wants_rate:
            self.critical_rates.append(place | self._critical_rate(trainer, pl_module, batch))

    def points(self) -> list[tuple[str, int, float]]:
        """critical_rate/eta_c, /margin and /lambda_c where they were found, and sharpness/top."""
        found = [
            (f"critical_rate/{name}", row["step"], row[name])
            for row in self.critical_rates
            for name in ("eta_c", "margin", "lambda_c")
            if row[name] is not None
        ]
        finite = [row for row in self.sharpnesses if math.isfinite(row["top"])]
        return found + [("sharpness/top", row["step"], row["top"]) for row in finite]

    def write(self, folder: Path) -> None:
        """curvature.json; nothing before the first look."""
        if not self._patterns:
            return
        document = {
            "patterns": self._patterns,
            "tolerance": {"critical_rate": rate_search.TOLERANCE, "sharpness": power.TOLERANCE},
            "critical_rate": self.critical_rates,
            "sharpness": [{name: _finite(value) for name, value in row.items()} for row in self.sharpnesses],
        }
        (folder / "curvature.json").write_text(json.dumps(document, allow_nan=False) + "\n")

    def _critical_rate(self, trainer: L.Trainer, module: PtychoModule, batch: Batch) -> dict[str, Any]:
        optimizer = trainer.optimizers[0]
        gradients = gradients_of(_loss(module, batch), list(module.model.parameters()))
        clipped = clipped_gradients(module.clipper, gradients)
        parameters, direction = list(clipped), update_direction(optimizer, clipped)
        lr = float(optimizer.param_groups[0]["lr"])
        # From the last bracket on the search is short; a schedule may end at a rate of 0.
        last = self.critical_rates[-1] if self.critical_rates else {"upper": None, "lower": 0.0}
        start = last["upper"] or last["lower"] or lr or module.config.training.learning_rate
        found = critical_rate(lambda: _loss(module, batch), parameters, direction, start)
        eta_c = found.value
        return {
            "lr": lr,
            "loss": found.loss,
            "eta_c": eta_c,
            "lower": found.lower,
            "upper": found.upper,
            "margin": eta_c / lr if eta_c and lr else None,
            "lambda_c": 2 / eta_c if eta_c else None,
            "passes": found.passes,
        }


def gradients_of(loss: Tensor, parameters: Sequence[Tensor]) -> dict[Tensor, Tensor]:
    """Gradients of the parameters that the loss depends on; `.grad` stays as it is."""
    gradients: list[Tensor | None] = [*torch.autograd.grad(loss, parameters, allow_unused=True)]
    return {p: g for p, g in zip(parameters, gradients, strict=True) if g is not None}


def clipped_gradients(clipper: Clipper, gradients: Mapping[Tensor, Tensor]) -> dict[Tensor, Tensor]:
    """What the clipper would make of some gradients; those in `.grad` and its own statistics stay as they are."""
    kept = {p: p.grad for p in gradients}
    state = {name: value.clone() for name, value in clipper.state_dict().items()}
    try:
        for parameter, gradient in gradients.items():
            parameter.grad = gradient.clone()
        clipper(norm(list(gradients.values())))
        return {p: p.grad for p in gradients if p.grad is not None}
    finally:
        clipper.load_state_dict(state)
        for parameter, gradient in kept.items():
            parameter.grad = gradient


def _loss(module: PtychoModule, batch: Batch) -> Tensor:
    object_BCNN = module.predict_object(batch["amplitude"])
    return module.objective(object_BCNN, module.predict_amplitude(object_BCNN), batch["amplitude"], batch["truth"])


def _due(epoch: int, every: int) -> bool:
    return every > 0 and epoch % every == 0


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
