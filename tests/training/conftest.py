"""Trainings whose every step is looked into."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ptycho_mlf.runs.dataset import load_run_data
from ptycho_mlf.training.fit import fit
from ptycho_mlf.training.module import PtychoModule

Look = Callable[[PtychoModule, Any, Callable[[], None]], None]
"""Is handed the module, a batch, and the step to take."""


class Unmoved:
    """An observer that looks at nothing."""

    def steps(self, rows: object) -> None:
        pass

    def epoch(self, row: object) -> None:
        pass


@pytest.fixture
def train_watched(tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Train a tiny arm, every step within `look`."""
    step = PtychoModule.training_step

    def train(look: Look, **arm: object) -> None:
        monkeypatch.setattr(
            PtychoModule,
            "training_step",
            lambda module, batch, batch_idx: look(module, batch, lambda: step(module, batch, batch_idx)),
        )
        config = tiny(**arm)
        data = load_run_data(config)
        fit(config, data.train, data.holdout, data.val, tmp_path, Unmoved())

    return train
