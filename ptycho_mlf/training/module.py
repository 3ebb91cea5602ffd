"""The Lightning module: one optimizer step from patterns to weights, and what is seen of it.

Order of a step: zero grad, forward, loss, backward, pre-clip norm, clip, post-clip norm, optimizer step, schedule step,
record. Nothing in it reads the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from ptycho_mlf.config import RunConfig
from ptycho_mlf.generators import head_parameters, unit_axes
from ptycho_mlf.physics.far_field import far_field_amplitude
from ptycho_mlf.physics.losses import mae
from ptycho_mlf.physics.objective import Objective
from ptycho_mlf.physics.reassembly import reassemble
from ptycho_mlf.telemetry.contrast import BatchContrast
from ptycho_mlf.telemetry.norms import norms
from ptycho_mlf.telemetry.trace import StepTrace

from .checkpoints import PARAMETERS
from .clipping import Clipper, build_clipper
from .data_module import Batch, ScanDataModule
from .measured_step import Measured, StepSize
from .optimizer import build_optimizer, masked_step
from .schedule import build_schedule
from .validation import Validation, ValidationMeter


@dataclass(frozen=True)
class StepNorms:
    """What the last step saw of each of the T parameters that have gradients, on the device."""

    loss: Tensor
    preclip: Tensor
    """Global gradient norm before clipping."""
    gradients_T: Tensor
    """Norms before clipping, in the order of the model's parameters."""
    size: StepSize | None
    """Of weights and update, in the order of the optimizer's groups; None where it was not measured."""


class PtychoModule(L.LightningModule):
    """A generator trained through the far field on diffraction amplitudes alone."""

    def __init__(
        self,
        config: RunConfig,
        generator: nn.Module,
        probe: Tensor,
        objective: Objective,
        offsets_C2: NDArray[np.int32],
    ) -> None:
        """Compose the parts.

        Args:
            config: the run.
            generator: (B, C, N, N) amplitudes to (B, C, N, N) complex objects.
            probe: (1, 1, P, N, N) complex, the model's probe.
            objective: the configured loss.
            offsets_C2: corners of a group's patches relative to the first, px.
        """
        super().__init__()
        self.automatic_optimization = False
        self.config = config
        self.model = generator
        self.objective = objective
        self.probe: Tensor
        self.offsets_C2 = offsets_C2
        self.register_buffer("probe", probe, persistent=False)
        self.steps_taken = 0
        self.validation: Validation | None = None

    def forward(self, amplitude_BCNN: Tensor) -> Tensor:
        """Patterns to complex objects, (B, C, N, N)."""
        return self.model(amplitude_BCNN)

    def predict_object(self, amplitude_BCNN: Tensor) -> Tensor:
        """Patterns to the objects that enter the exit waves: overlapping patches of a group are made to agree."""
        object_BCNN = self(amplitude_BCNN)
        return reassemble(object_BCNN, self.offsets_C2) if object_BCNN.shape[1] > 1 else object_BCNN

    def predict_amplitude(self, object_BCNN: Tensor) -> Tensor:
        """Objects to far-field amplitudes, (B, C, N, N)."""
        gain = float(len(object_BCNN)) if self.config.replication.physics_gain == "batch_size" else 1.0
        return far_field_amplitude(object_BCNN, self.probe, gain)

    def configure_optimizers(self) -> Any:
        """Optimizer and schedule; they are stepped in `training_step`."""
        steps = len(self._data.train_dataloader())
        optimizer = build_optimizer(self.config.training, self.model.parameters())
        in_force = self.config.replication.schedule_in_force
        schedule = build_schedule(self.config.training, optimizer, steps_per_epoch=steps, in_force=in_force)
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_fit_start(self) -> None:
        """Everything that needs the device."""
        params = dict(self.model.named_parameters())
        self._trained = list(params.values())
        self.clipper: Clipper = build_clipper(
            self.config.training, params, unit_axes(self.model), head_parameters(self.model)
        )
        self.trace = StepTrace(self.device)
        self._batch_contrast = BatchContrast(self._predicted_probe[0, 0])
        self._frozen = torch.zeros((), device=self.device)
        self._unknown = torch.full((), torch.nan, device=self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One step."""
        optimizer, schedule = self._optimizer, self._schedule
        optimizer.zero_grad(set_to_none=True)
        amplitude, truth = batch["amplitude"], batch["truth"]
        object_BCNN = self.predict_object(amplitude)
        loss = self.objective(object_BCNN, self.predict_amplitude(object_BCNN), amplitude, truth)
        self.manual_backward(loss)

        gradient_norms = norms([p.grad for p in self._trained if p.grad is not None])
        preclip = gradient_norms.norm()
        # From the first non-finite step on the weights stay as they are.
        finite = loss.detach().isfinite() & preclip.isfinite()
        self._frozen = torch.maximum(self._frozen, (~finite).float())
        clipped = self.clipper(preclip)
        lr = float(optimizer.param_groups[0]["lr"])
        size = masked_step(optimizer, self._frozen, measure=self._measures(self.steps_taken))
        self.last_step = StepNorms(loss.detach(), preclip, gradient_norms, size)
        if isinstance(schedule, LambdaLR):
            schedule.step()
        spatial, cross_pattern = self._batch_contrast(object_BCNN)
        self.trace.record(
            self.steps_taken,
            self.current_epoch,
            lr,
            loss=loss,
            grad_norm_preclip=preclip,
            grad_norm_postclip=clipped.postclip_norm,
            clip_fraction=clipped.fraction,
            update_ratio=self._unknown if size is None else size.ratio,
            contrast_spatial=spatial,
            contrast_cross_pattern=cross_pattern,
        )
        self.steps_taken += 1

    def _measures(self, step: int) -> bool:
        """Whether weights and update of a step are measured."""
        telemetry = self.config.telemetry
        reported = telemetry.gradient_stride > 0 and step % telemetry.gradient_stride == 0
        return reported or step % telemetry.update_stride == 0

    def on_validation_epoch_start(self) -> None:
        """Start the accumulators."""
        self._meter = ValidationMeter(self.model, self._predicted_probe, self.config.model.output).__enter__()

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Add one batch: the loss is always `mae`, whatever the training minimises. Returns the predicted objects."""
        amplitude = batch["amplitude"]
        object_BCNN = self.predict_object(amplitude)
        self._meter.update(object_BCNN, mae(self.predict_amplitude(object_BCNN), amplitude))
        return object_BCNN

    def on_validation_epoch_end(self) -> None:
        """Read the accumulators; a plateau schedule looks at them."""
        self._meter.__exit__(None, None, None)
        self.validation = self._meter.result()
        if self.trainer.state.fn == "fit" and isinstance(self._schedule, ReduceLROnPlateau):
            self._schedule.step(self.validation.loss)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the clipper's statistics, and what the weights belong to."""
        checkpoint[PARAMETERS] = self.config.flat()
        checkpoint["clipper"] = self.clipper.state_dict()
        checkpoint["steps_taken"] = self.steps_taken

    @property
    def _predicted_probe(self) -> Tensor:
        """The probe where the generator predicts an object: zeros around a window are no contrast."""
        window = self.config.model.window(self.probe.shape[-1])
        predicted = torch.zeros_like(self.probe)
        predicted[..., window, window] = self.probe[..., window, window]
        return predicted

    def batch_sizes(self, steps: int) -> list[int]:
        """Patterns in each of the first steps of an epoch."""
        size, patterns = self.config.training.batch_size, len(self._data.train_set)
        return [min(size, patterns - size * k) for k in range(steps)]

    @property
    def _data(self) -> ScanDataModule:
        return self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def _optimizer(self) -> Measured:
        return self.trainer.optimizers[0]  # pyright: ignore[reportReturnType]

    @property
    def _schedule(self) -> LambdaLR | ReduceLROnPlateau:
        return self.trainer.lr_scheduler_configs[0].scheduler  # pyright: ignore[reportReturnType]
