"""The instruments a run is asked to carry."""

from __future__ import annotations

from ptycho_mlf.config import RunConfig
from ptycho_mlf.training.activation_monitor import ActivationMonitor
from ptycho_mlf.training.instruments import Instrument

from .activation_source import network_source


def build_instruments(config: RunConfig) -> list[Instrument]:
    """One instrument per report that the telemetry settings ask for."""
    instruments: list[Instrument] = []
    if config.telemetry.activation_epochs:
        instruments.append(ActivationMonitor(config.telemetry.activation_epochs, network_source(config)))
    return instruments
