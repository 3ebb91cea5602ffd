"""Parameters of the instruments: what a run looks at while it trains. None of them changes the training's numbers."""

from __future__ import annotations

from .knob import Section, knob


class TelemetryConfig(Section):
    """Reports that a run carries. They count in the fingerprint, since they decide what a run leaves behind."""

    activation_epochs: int = knob(
        0,
        "Activation statistics before training, every so many epochs and at the end; 0 = off.",
        unit="epochs",
        ge=0,
    )
