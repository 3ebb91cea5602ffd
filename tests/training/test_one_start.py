"""Lightning changes torch's classes while a training starts: trainings of several threads leave them as they were."""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial

import lightning as L
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader

from ptycho_mlf.quiet import quiet
from ptycho_mlf.training.one_start import OneStartAtATime


class Line(L.LightningModule):
    """One weight; its loaders are asked for while all others are in the same place, if they can."""

    def __init__(self, meeting: threading.Barrier) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.meeting, self.met = meeting, False

    def train_dataloader(self) -> DataLoader[torch.Tensor]:
        with suppress(threading.BrokenBarrierError):
            self.meeting.wait(0.5)
            self.met = True
        return DataLoader(torch.ones(4, 1))

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return (self.weight * batch - 1).square().sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def methods() -> list[object]:
    names = ("__init__", "__setattr__", "__delattr__", "__old__init__", "__old__setattr__", "__old__delattr__")
    return [vars(kind).get(name) for kind in (DataLoader, BatchSampler) for name in names]


def fit(module: Line) -> None:
    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    callbacks = [OneStartAtATime()]
    trainer = L.Trainer(accelerator="cpu", max_epochs=1, callbacks=callbacks, enable_model_summary=False, **silent)
    trainer.fit(module)


def test_loaders_are_asked_for_one_training_after_the_other():
    meeting = threading.Barrier(2)
    modules = [Line(meeting), Line(meeting)]
    with quiet():
        fit(Line(threading.Barrier(1)))  # Lightning's own first time: what a class lacked is its parent's from then on.
        before = methods()
        threads = [threading.Thread(target=fit, args=(module,)) for module in modules]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not any(module.met for module in modules)
    assert all(module.weight.item() == pytest.approx(1 - 0.8**4) for module in modules)
    assert methods() == before


def test_a_start_that_fails_lets_the_next_one_begin():
    class Broken(Line):
        def train_dataloader(self) -> DataLoader[torch.Tensor]:
            raise ZeroDivisionError

    def fail() -> None:
        with pytest.raises(ZeroDivisionError):
            fit(Broken(threading.Barrier(1)))

    module = Line(threading.Barrier(1))
    with quiet():
        # Threads of their own: what one keeps the other would wait for.
        for work in (fail, partial(fit, module)):
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            thread.join(120)
    assert module.met
