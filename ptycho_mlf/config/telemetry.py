"""Parameters of the instruments: what a run looks at while it trains, and whether it ends on what it sees."""

from __future__ import annotations

from typing import Literal

from .knob import Section, knob, when


class TelemetryConfig(Section):
    """Reports that a run carries. They count in the fingerprint, since they decide what a run leaves behind."""

    stop_on: Literal["none", "collapse"] = knob(
        "none", "collapse ends a training early once its verdict is final; the verdict stands, and the run is marked."
    )
    keep: Literal["all", "evidence"] = knob(
        "all",
        "evidence leaves out weights, model and figures, and keeps the numbers: for searches of many runs.",
    )
    picture_epochs: int = knob(
        1,
        "Log a picture of the validation part of the object every so many epochs; 0 = off.",
        unit="epochs",
        ge=0,
    )
    activation_epochs: int = knob(
        0,
        "Activation statistics before training, every so many epochs and at the end; 0 = off.",
        unit="epochs",
        ge=0,
    )
    gradient_stride: int = knob(
        10,
        "Gradient report: norms, update ratios and clipping of every layer at every so many steps; 0 = off.",
        unit="steps",
        ge=0,
    )
    update_stride: int = knob(
        4,
        "Measure weights and updates at every so many steps and at those of the gradient report: as many passes over "
        "all weights take 3 % of a step at full size. Between them the update ratio is not known.",
        unit="steps",
        ge=1,
    )
    postmortem: bool = knob(
        True,
        "Keep the norms of every layer around the worst spike or the non-finite step, and the batch that did it.",
    )
    replay: Literal["none", "onset"] = knob(
        "none",
        "onset takes the steps to the onset of the post-mortem again, once the training has ended, and keeps all "
        "tensors of that step: some six times the size of the weights, 0.5 GB with the default model.",
        used_if=when(postmortem=True),
    )
    critical_rate_epochs: int = knob(
        0,
        "Critical learning rate along the next update, on a fixed train batch, every so many epochs; 0 = off.",
        unit="epochs",
        ge=0,
    )
    sharpness_epochs: int = knob(
        0,
        "Largest Hessian eigenvalue on the same batch, every so many epochs; 0 = off.",
        unit="epochs",
        ge=0,
    )
