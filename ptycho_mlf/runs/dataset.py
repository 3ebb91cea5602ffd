"""The data of one run: simulated scans, hold-out, hash, and what a constant object scores on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ptycho_mlf.config import RunConfig
from ptycho_mlf.physics.floor import Floors, constant_object_floors, fit_train_constant
from ptycho_mlf.scan import Scan
from ptycho_mlf.simulation import Dataset, load_or_simulate
from ptycho_mlf.telemetry.signals import References
from ptycho_mlf.training.holdout import Holdout, hold_out
from ptycho_mlf.training.validation import contrast_of_truth


@dataclass(frozen=True)
class RunData:
    """What one run sees."""

    train: Scan
    test: Scan
    holdout: Holdout
    hash: str
    """16 hex digits over everything that decides what the network sees."""

    @property
    def val(self) -> Scan:
        """The scan that validation patterns come from."""
        return self.train if self.holdout.val_scan == "train" else self.test

    def floors(self, batch_size: int) -> Floors:
        """What a constant object scores on the validation patterns, batched as in training."""
        probe = self.train.probe_PNN
        train = fit_train_constant(self.train.amplitude_nCNN[self.holdout.train], probe, batch_size)
        return constant_object_floors(self.val.amplitude_nCNN[self.holdout.val], probe, batch_size, train)

    def references(self, floors: Floors) -> References:
        """What a verdict is held against: the floor and the contrasts of the true validation objects."""
        truth = contrast_of_truth(self.val, self.holdout.val)
        if truth is None:
            return References(floors.best, None, None, None)
        return References(floors.best, truth.amplitude.spatial, truth.amplitude.cross_pattern, truth.phase)


def load_dataset(config: RunConfig) -> Dataset:
    """Simulate or load the scans of a configuration.

    Raises:
        InputError: settings that cannot be simulated, or an unusable cache.
    """
    return load_or_simulate(config.data, Path(config.execution.cache_dir) if config.execution.cache_dir else None)


def load_run_data(config: RunConfig) -> RunData:
    """Simulate or load the scans of a run and split them.

    Raises:
        InputError: settings that cannot be simulated, or an unusable cache.
    """
    dataset = load_dataset(config)
    holdout = hold_out(config, dataset.train.grid, dataset.test.grid)
    return RunData(dataset.train, dataset.test, holdout, holdout.dataset_hash(dataset.key))
