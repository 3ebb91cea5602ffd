"""The instruments a run is asked to carry."""

from __future__ import annotations

from ptycho_mlf.config import RunConfig
from ptycho_mlf.training.instruments import Instrument


def build_instruments(config: RunConfig) -> list[Instrument]:
    """One instrument per report that the telemetry settings ask for."""
    return []
