"""Training on one batch over and over, without Lightning: what a look at the first steps of a network needs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ptycho_mlf.config import RunConfig
from ptycho_mlf.generators import head_parameters, unit_axes
from ptycho_mlf.scan import Scan
from ptycho_mlf.telemetry.norms import norms

from .activation_monitor import spread
from .clipping import build_clipper
from .data_module import PatchDataset
from .fit import build_module, resolve_accelerator
from .holdout import Index
from .optimizer import build_optimizer


class FixedBatch:
    """A generator with its initial weights, and the same batch at every step; the learning rate stays as configured."""

    def __init__(self, config: RunConfig, train: Scan, index: Index) -> None:
        """Compose the parts.

        Args:
            config: the run.
            train: the train scan.
            index: its train patterns; a batch of them is taken evenly.

        Raises:
            InputError: no such device.
        """
        device = torch.device(resolve_accelerator(config.execution.accelerator))
        self._module = build_module(config, train).to(device)
        self.model: nn.Module = self._module.model
        supervised = config.training.loss == "supervised"
        chosen = index[spread(len(index), config.training.batch_size)]
        self._patterns = PatchDataset(train, chosen, device, with_truth=supervised)
        self.batch: Tensor = self._patterns.amplitude_nCNN
        """(B, C, N, N)."""
        self._optimizer = build_optimizer(config.training, self.model.parameters())
        params = dict(self.model.named_parameters())
        self._clipper = build_clipper(config.training, params, unit_axes(self.model), head_parameters(self.model))

    def loss(self, amplitude_BCNN: Tensor) -> Tensor:
        """The configured loss of what the generator makes of the patterns, held against those of the batch."""
        object_BCNN = self._module.predict_object(amplitude_BCNN)
        predicted = self._module.predict_amplitude(object_BCNN)
        return self._module.objective(object_BCNN, predicted, self.batch, self._patterns.truth_nCNN)

    def step(self) -> None:
        """One optimizer step, clipped as configured."""
        self._optimizer.zero_grad(set_to_none=True)
        self.loss(self.batch).backward()
        self._clipper(norms([p.grad for p in self.model.parameters() if p.grad is not None]).norm())
        self._optimizer.step()
