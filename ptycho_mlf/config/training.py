"""Parameters of the training: loss, optimizer, schedule, clipping, batches and seed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .errors import InputError
from .knob import Section, UsedIf, knob, when

CLIP_DEFAULTS = {"norm": 1.0, "value": 1.0, "agc": 0.01, "agc_per_tensor": 0.01, "zclip": 2.5}
"""What clip_value = 0 stands for."""

_ADAM = when(optimizer=("adam", "adamw"))
_WARMUP = when(scheduler="WarmupCosine")
_PLATEAU = when(scheduler="ReduceLROnPlateau")


class TrainingConfig(Section):
    """How the weights are found."""

    loss: Literal["mae", "amp_mse", "poisson", "poisson_legacy", "supervised"] = knob(
        "mae", "Loss on the diffraction amplitude; supervised compares objects instead."
    )
    poisson_eps: float = knob(
        1e-3, "Added to the predicted count inside the logarithm.", unit="photon", gt=0, used_if=when(loss="poisson")
    )
    tv_amp_weight: float = knob(0.0, "Weight of the total variation of the object amplitude.", ge=0)
    tv_phase_weight: float = knob(0.0, "Weight of the total variation of the object phase.", ge=0)
    mean_dev_amp_weight: float = knob(0.0, "Weight of the mean deviation of the object amplitude.", ge=0)
    mean_dev_phase_weight: float = knob(0.0, "Weight of the mean deviation of the object phase.", ge=0)
    optimizer: Literal["adam", "adamw", "sgd"] = knob(
        "adam", "adam and sgd take weight decay as L2 gradient, adamw decoupled."
    )
    learning_rate: float = knob(3e-4, "Peak learning rate.", gt=0, le=1e6)
    momentum: float = knob(0.9, "Nesterov momentum; 0 = plain SGD.", ge=0, lt=1, used_if=when(optimizer="sgd"))
    weight_decay: float = knob(0.0, "Weight decay.", ge=0, le=1e3)
    decay_exclude_1d: bool = knob(
        False,
        "Leave biases and gains out of weight decay.",
        used_if=UsedIf("weight_decay>0", lambda c: c["weight_decay"] > 0),
    )
    beta1: float = knob(0.9, "Decay of the first moment.", ge=0, lt=1, used_if=_ADAM)
    beta2: float = knob(0.999, "Decay of the second moment.", ge=0, lt=1, used_if=_ADAM)
    scheduler: Literal["Default", "Exponential", "WarmupCosine", "ReduceLROnPlateau", "Ramp"] = knob(
        "WarmupCosine",
        "Learning-rate schedule; Default is constant, Ramp rises exponentially to the peak: the LR range test.",
    )
    lr_warmup_epochs: Literal["auto"] | Annotated[int, Field(ge=0)] = knob(
        "auto", "Warm-up; auto = a quarter of the epochs.", unit="epochs", used_if=_WARMUP
    )
    lr_min_ratio: float = knob(
        0.05,
        "Lowest learning rate over the peak: the last one of the cosine, the first one of the ramp.",
        ge=0,
        le=1,
        used_if=when(scheduler=("WarmupCosine", "Ramp")),
    )
    lr_gamma: float = knob(
        0.95, "Factor of the learning rate per epoch.", gt=0, le=1, used_if=when(scheduler="Exponential")
    )
    plateau_factor: float = knob(0.5, "Factor of the learning rate on a plateau.", gt=0, lt=1, used_if=_PLATEAU)
    plateau_patience: int = knob(2, "Bad epochs in a row that are tolerated.", unit="epochs", ge=0, used_if=_PLATEAU)
    plateau_min_lr: float = knob(5e-5, "Smallest learning rate on a plateau.", ge=0, used_if=_PLATEAU)
    scheduler_interval: Literal["step", "epoch"] = knob(
        "step", "When the schedule moves.", used_if=when(scheduler=("Exponential", "WarmupCosine"))
    )
    clip_algorithm: Literal["none", "norm", "value", "agc", "agc_per_tensor", "zclip"] = knob(
        "none", "Gradient clipping."
    )
    clip_value: float = knob(
        0.0,
        "Threshold of the clipping; 0 = the algorithm's own: norm 1, value 1, agc 0.01, zclip 2.5.",
        ge=0,
        used_if=when(clip_algorithm=tuple(CLIP_DEFAULTS)),
    )
    agc_exclude_head: bool = knob(
        True, "Leave the output head out of adaptive clipping.", used_if=when(clip_algorithm="agc")
    )
    epochs: int = knob(20, "Passes over the train patterns.", unit="epochs", ge=1)
    batch_size: int = knob(16, "Patterns per step; the last partial batch is kept.", ge=1)
    seed: int = knob(20260128, "Seed of the initial weights and of the order of the patterns.", ge=0, le=2**63 - 1)
    precision: Literal["float32", "bf16"] = knob(
        "float32",
        "bf16 runs convolutions in bfloat16: steps 1.4 times as fast on a CPU with bf16 units; spectral layers and "
        "physics stay in float32.",
    )

    @property
    def warmup_epochs(self) -> int:
        """The warm-up in force, epochs."""
        return self.epochs // 4 if self.lr_warmup_epochs == "auto" else self.lr_warmup_epochs

    @property
    def clip_threshold(self) -> float:
        """The clipping threshold in force; 0 without clipping."""
        return self.clip_value or CLIP_DEFAULTS.get(self.clip_algorithm, 0.0)

    def check(self) -> None:
        """Rules between the fields.

        Raises:
            InputError: a warm-up as long as the training, a ramp that does not rise, a plateau floor above the
                learning rate, or a decay that would turn the weights over in one step.
        """
        if self.scheduler == "WarmupCosine" and self.warmup_epochs >= self.epochs:
            raise InputError(f"lr_warmup_epochs={self.warmup_epochs}: must be less than epochs={self.epochs}")
        if self.scheduler == "Ramp" and not 0 < self.lr_min_ratio < 1:
            raise InputError(f"lr_min_ratio={self.lr_min_ratio:g}: a ramp needs it above 0 and below 1")
        if self.scheduler == "ReduceLROnPlateau" and self.plateau_min_lr > self.learning_rate:
            raise InputError(
                f"plateau_min_lr={self.plateau_min_lr:g}: must not exceed learning_rate={self.learning_rate:g}"
            )
        if self.optimizer != "adam" and self.learning_rate * self.weight_decay >= 1:
            raise InputError(
                f"weight_decay={self.weight_decay:g}: times learning_rate={self.learning_rate:g} it must stay below 1"
            )
