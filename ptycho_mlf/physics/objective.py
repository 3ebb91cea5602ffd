"""What training minimises: one loss and the optional terms on the object, as configured."""

from __future__ import annotations

from torch import Tensor

from ptycho_mlf.config import InputError, TrainingConfig

from . import regularisers
from .losses import AmplitudeLoss, amplitude_loss


class Objective:
    """The configured loss of a batch plus its weighted object terms; a term of weight 0 is never computed."""

    def __init__(self, training: TrainingConfig, intensity_scale: float) -> None:
        """Choose the terms.

        Args:
            training: loss, poisson_eps and the weights of the object terms.
            intensity_scale: s, sqrt(photon) per unit of amplitude.
        """
        self._loss: AmplitudeLoss | None = None
        if training.loss != "supervised":
            self._loss = amplitude_loss(training.loss, intensity_scale=intensity_scale, eps=training.poisson_eps)
        terms = (
            (training.tv_amp_weight, regularisers.variation_amp),
            (training.tv_phase_weight, regularisers.variation_phase),
            (training.mean_dev_amp_weight, regularisers.deviation_amp),
            (training.mean_dev_phase_weight, regularisers.deviation_phase),
        )
        self._terms = [(weight, term) for weight, term in terms if weight]

    @property
    def needs_truth(self) -> bool:
        """Whether the true object has to be known."""
        return self._loss is None

    def __call__(
        self,
        object_BCNN: Tensor,
        predicted_BCNN: Tensor,
        measured_BCNN: Tensor,
        truth_BCNN: Tensor | None = None,
    ) -> Tensor:
        """Scalar loss of one batch.

        Args:
            object_BCNN: complex object that enters the exit wave, normalised units.
            predicted_BCNN: its diffraction amplitude A.
            measured_BCNN: X.
            truth_BCNN: complex true object, read by the supervised loss only.

        Raises:
            InputError: the loss is supervised and there is no truth.
        """
        if self._loss is not None:
            total = self._loss(predicted_BCNN, measured_BCNN)
        elif truth_BCNN is not None:
            total = regularisers.supervised(object_BCNN, truth_BCNN)
        else:
            raise InputError("loss=supervised: the true object must be known")
        for weight, term in self._terms:
            total = total + weight * term(object_BCNN)
        return total
