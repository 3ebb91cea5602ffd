"""The instruments a run is asked to carry."""

from __future__ import annotations

from ptycho_mlf.config import RunConfig
from ptycho_mlf.training.activation_monitor import ActivationMonitor
from ptycho_mlf.training.curvature_monitor import CurvatureMonitor
from ptycho_mlf.training.gradient_monitor import GradientMonitor
from ptycho_mlf.training.instruments import Instrument
from ptycho_mlf.training.reconstruction_monitor import ReconstructionMonitor, Show

from .dataset import RunData
from .network_source import architecture_and_size


def build_instruments(config: RunConfig, data: RunData, show: Show) -> list[Instrument]:
    """One instrument per report that the telemetry settings ask for.

    Args:
        config: the run.
        data: what it sees.
        show: is handed pictures.
    """
    instruments: list[Instrument] = []
    telemetry = config.telemetry
    if telemetry.picture_epochs:
        instruments.append(ReconstructionMonitor(data.val, data.holdout.val, telemetry.picture_epochs, show))
    if telemetry.activation_epochs:
        instruments.append(ActivationMonitor(telemetry.activation_epochs, architecture_and_size(config)))
    if telemetry.gradient_stride or telemetry.postmortem:
        instruments.append(GradientMonitor(telemetry.gradient_stride, postmortem=telemetry.postmortem))
    if telemetry.critical_rate_epochs or telemetry.sharpness_epochs:
        instruments.append(CurvatureMonitor(telemetry.critical_rate_epochs, telemetry.sharpness_epochs))
    return instruments
