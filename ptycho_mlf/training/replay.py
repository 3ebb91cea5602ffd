"""Takes the steps up to one of a training again, from a state before it, and looks at that step in full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from ptycho_mlf.config import RunConfig
from ptycho_mlf.quiet import quiet
from ptycho_mlf.scan import Scan
from ptycho_mlf.telemetry.activation_statistics import measure, observed
from ptycho_mlf.telemetry.gradient_statistics import exponent_histogram, model_layers
from ptycho_mlf.telemetry.moment import Moment, Tensors
from ptycho_mlf.telemetry.trace import Rows

from .data_module import Batch, ScanDataModule
from .fit import build_data, build_module, build_trainer
from .holdout import Holdout
from .module import PtychoModule
from .restore import restore


@dataclass(frozen=True)
class Replayed:
    """What a replay gives."""

    rows: Rows
    """The trace of the steps that were taken again."""
    moment: Moment
    before: Moment | None
    """The step before; None where the moment is the first step."""


def replay(config: RunConfig, train: Scan, holdout: Holdout, val: Scan, start: Path | None, step: int) -> Replayed:
    """Take the steps up to `step` again with the code, order and settings of the training.

    Args:
        config: the run.
        train: the train scan.
        holdout: its train and validation patterns.
        val: the scan validation patterns come from.
        start: a `last.ckpt` from the end of an epoch before the step before `step`; None starts from the initial
            weights, which follow from the seed.
        step: the one to look at.

    Raises:
        InputError: no such device.
        ValueError: the training does not reach the step.
    """
    witness = _Witness(start, step)
    data = build_data(config, train, holdout, val)
    trainer = build_trainer(config, [witness])
    module = build_module(config, train)
    with quiet():
        trainer.fit(module, datamodule=data)
    if step not in witness.moments:
        raise ValueError(f"step {step} is not part of this training")
    return Replayed(module.trace.rows(), witness.moments[step], witness.moments.get(step - 1))


class _Witness(L.Callback):
    """Starts the training from a checkpoint, looks at two steps and ends it."""

    def __init__(self, start: Path | None, step: int) -> None:
        self._start, self._step = start, step
        self.moments: dict[int, Moment] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: PtychoModule) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        if self._start is not None:
            restore(trainer, pl_module, self._start)

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: PtychoModule, batch: Batch, batch_idx: int) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        step = pl_module.steps_taken
        if step in (self._step - 1, self._step):
            self.moments[step] = _moment(trainer, pl_module, batch, batch_idx)

    def on_after_backward(self, trainer: L.Trainer, pl_module: PtychoModule) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        moment = self.moments.get(pl_module.steps_taken)
        if moment is None:
            return
        order = [place.partition("#")[0] for place in moment.outputs]
        moment.layers = model_layers(pl_module.model, order)
        moment.gradients = {name: _kept(gradient) for name, gradient in _gradients(pl_module.model)}

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: PtychoModule, *args: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        step = pl_module.steps_taken - 1
        moment = self.moments.get(step)
        if moment is not None:
            after = pl_module.model.state_dict()
            moment.updates = {name: _kept(after[name]) - moment.weights[name] for name in moment.gradients}
            moment.postclip_norms = {name: float(g.norm()) for name, g in _gradients(pl_module.model)}
        if step == self._step:
            trainer.should_stop = True
        if pl_module.trace.is_full or step == self._step:
            pl_module.trace.flush()


def _moment(trainer: L.Trainer, module: PtychoModule, batch: Batch, batch_idx: int) -> Moment:
    """A step that is about to be taken."""
    data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
    assert isinstance(data, ScanDataModule)
    amplitude, outputs = batch["amplitude"], dict[str, Any]()

    def look(place: str, layer: nn.Module, output: Tensor) -> None:
        numbers = torch.view_as_real(output) if output.is_complex() else output
        outputs[place] = exponent_histogram([numbers.float()]).cpu().numpy()

    with torch.no_grad(), trainer.precision_plugin.val_step_context():
        with observed(module.model, look):
            object_BCNN = module.predict_object(amplitude)
        predicted = module.predict_amplitude(object_BCNN)
        activations = measure(module.model, [amplitude])
    optimizer = trainer.optimizers[0]
    return Moment(
        step=module.steps_taken,
        epoch=trainer.current_epoch + 1,
        batch=batch_idx,
        lr=float(optimizer.param_groups[0]["lr"]),
        patterns=data.train_patterns[data.batch_positions(trainer.current_epoch, batch_idx)],
        amplitude=_kept(amplitude),
        object=_kept(object_BCNN),
        predicted=_kept(predicted),
        activations=activations,
        outputs=outputs,
        weights={name: _kept(p) for name, p in module.model.named_parameters()},
        optimizer=_optimizer_state(optimizer, {p: name for name, p in module.model.named_parameters()}),
        clipper={name: _kept(value) for name, value in module.clipper.state_dict().items()},
        schedule=dict(trainer.lr_scheduler_configs[0].scheduler.state_dict()),
    )


def _optimizer_state(optimizer: torch.optim.Optimizer, names: Mapping[Tensor, str]) -> dict[str, Tensors]:
    """Tensors by kind, such as `exp_avg`, and parameter."""
    found: dict[str, Tensors] = {}
    for parameter, state in optimizer.state.items():
        for kind, value in state.items():
            if isinstance(value, Tensor):
                found.setdefault(kind, {})[names[parameter]] = _kept(value)
    return found


def _gradients(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            yield name, parameter.grad


def _kept(tensor: Tensor) -> Tensor:
    """A copy on the CPU."""
    return tensor.detach().to("cpu", copy=True).contiguous()
