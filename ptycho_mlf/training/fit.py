"""Train one generator: compose module, data and trainer, and return what is known at the end."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning as L
import torch
from torch import nn

from ptycho_mlf.config import InputError, RunConfig
from ptycho_mlf.config.streams import stream_seed
from ptycho_mlf.generators import build_generator
from ptycho_mlf.physics.model_probe import model_probe
from ptycho_mlf.physics.objective import Objective
from ptycho_mlf.quiet import quiet
from ptycho_mlf.scan import Scan
from ptycho_mlf.telemetry.signals import References
from ptycho_mlf.telemetry.trace import Rows

from .checkpoints import BestAndLast
from .data_module import ScanDataModule
from .holdout import Holdout
from .module import PtychoModule
from .one_start import OneStartAtATime
from .progress import Progress
from .recorder import EpochRow, Observer, Prune, Recorder
from .validation import Validation
from .watch import Watch

FIXED_ORDER_SEED = 42
"""What the earlier study seeded the order with whatever the run seed (seed_scope=weights)."""


@dataclass(frozen=True)
class TrainingResult:
    """The end of a training."""

    trace: Rows
    initial: Validation
    """Validation before the first step."""
    last: Validation
    """Validation of the last weights."""
    history: list[EpochRow]
    generator: nn.Module
    """The generator with its last weights, on the CPU."""
    best_epoch: int | None
    nonfinite_step: int | None
    stopped_early: bool
    """Ended before its last epoch because its verdict was final."""
    pruned: bool
    """Ended before its last epoch because `prune` gave it up."""
    device: str


def resolve_accelerator(accelerator: str) -> str:
    """`cpu` or `cuda`.

    Raises:
        InputError: CUDA is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if accelerator == "cuda" and not available:
        raise InputError("accelerator=cuda: torch sees no CUDA device here; use auto or cpu")
    return "cuda" if available and accelerator != "cpu" else "cpu"


def order_seed(config: RunConfig) -> int:
    """The seed of the shuffle in force."""
    return config.training.seed if config.replication.seed_scope == "all" else FIXED_ORDER_SEED


def weights_seed(config: RunConfig) -> int:
    """The integer that seeds the initial weights."""
    return stream_seed(config.training.seed, "weights")


def fit(
    config: RunConfig,
    train: Scan,
    holdout: Holdout,
    val: Scan,
    folder: Path,
    observer: Observer,
    instruments: Sequence[L.Callback] = (),
    references: References | None = None,
    prune: Prune | None = None,
) -> TrainingResult:
    """Train and keep the best and last weights under `folder`.

    Args:
        config: the run.
        train: the train scan.
        holdout: its train and validation patterns.
        val: the scan validation patterns come from.
        folder: where `best.ckpt` and `last.ckpt` go.
        observer: is told of steps and epochs.
        instruments: look into the training; the caller has them write.
        references: what a running verdict is held against; without them there is none.
        prune: may give the training up after an epoch.

    Raises:
        InputError: no such device.
        ValueError: stop_on=collapse without references.
    """
    if references is None and config.telemetry.stop_on == "collapse":
        raise ValueError("stop_on=collapse needs references")
    watch = None if references is None else Watch(config, references)
    module = build_module(config, train)
    data = build_data(config, train, holdout, val)
    checkpoints, progress = BestAndLast(folder), Progress(config.training.epochs)
    recorder = Recorder(checkpoints, progress, observer, watch, prune)
    trainer = build_trainer(config, [progress, recorder, *instruments])
    with quiet():
        trainer.validate(module, datamodule=data, verbose=False)
        initial = _taken(module)
        if watch is not None:
            watch.initial = initial.signals(0)
        trainer.fit(module, datamodule=data)
        if module.trace.nonfinite_step is not None:
            # The epoch was cut short: what the frozen weights predict has not been looked at.
            trainer.validate(module, datamodule=data, verbose=False)
    return TrainingResult(
        trace=module.trace.rows(),
        initial=initial,
        last=_taken(module),
        history=recorder.history,
        generator=module.model.cpu(),
        best_epoch=checkpoints.best_epoch,
        nonfinite_step=module.trace.nonfinite_step,
        stopped_early=recorder.stopped_early,
        pruned=recorder.pruned,
        device=str(trainer.strategy.root_device),
    )


def _taken(module: PtychoModule) -> Validation:
    if module.validation is None:
        raise RuntimeError("the validation loop did not run")
    return module.validation


def build_module(config: RunConfig, train: Scan) -> PtychoModule:
    """Generator with its initial weights, forward operator and loss of a run."""
    generator = build_generator(config.model, train.N, train.channels, weights_seed(config))
    probe = model_probe(train.probe_PNN, train.probe_norm, config.replication.probe_for_model)
    objective = Objective(config.training, train.intensity_scale)
    return PtychoModule(config, generator, probe, objective, train.offsets_C2)


def build_data(config: RunConfig, train: Scan, holdout: Holdout, val: Scan) -> ScanDataModule:
    """Batches of a run, in its order."""
    return ScanDataModule(
        train,
        holdout,
        val,
        batch_size=config.training.batch_size,
        order_seed=order_seed(config),
        with_truth=config.training.loss == "supervised",
    )


def build_trainer(config: RunConfig, callbacks: list[L.Callback]) -> L.Trainer:
    """A trainer that logs, keeps and prints nothing by itself.

    Raises:
        InputError: no such device.
    """
    accelerator = resolve_accelerator(config.execution.accelerator)
    # Lightning's notes on devices and its advertisements are not about this run.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    return L.Trainer(
        accelerator=accelerator,
        devices=1,
        precision="bf16-mixed" if config.training.precision == "bf16" else "32-true",
        max_epochs=config.training.epochs,
        callbacks=[OneStartAtATime(), *callbacks],
        # The same trace again on the same machine: on a CPU the kernels are deterministic anyway.
        deterministic="warn" if accelerator == "cuda" else None,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
