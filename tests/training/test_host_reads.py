"""A step of the training never waits for the device: on CUDA each of these operations would."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from ptycho_mlf.training.module import PtychoModule

READS = ("aten::_local_scalar_dense", "aten::item", "aten::is_nonzero", "aten::nonzero", "aten::masked_select")
"""Values that Python asks for, and results whose size only the device knows."""


ARMS = [
    {"clip_algorithm": "norm", "optimizer": "adam"},
    {"clip_algorithm": "agc", "optimizer": "sgd"},
    {"clip_algorithm": "zclip", "optimizer": "adamw", "scheduler": "ReduceLROnPlateau"},
    {"clip_algorithm": "value", "loss": "poisson"},
    {"clip_algorithm": "none", "architecture": "stable_hybrid", "gridsize": 2},
]


def is_of_fused_kernel(event: FunctionEvent) -> bool:
    """Whether it is inside an optimizer's fused kernel: on a CPU, not on CUDA, that reads its own step counts."""
    above = event.cpu_parent
    return above is not None and (above.name.startswith("aten::_fused_") or is_of_fused_kernel(above))


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: "-".join(str(value) for value in arm.values()))
def test_no_step_reads_the_device(arm: dict[str, object], train_watched):
    seen: list[Counter[str]] = []

    def watch(module: PtychoModule, batch: object, step: Callable[[], None]) -> None:
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            step()
        seen.append(Counter(event.name for event in profiled.events() if not is_of_fused_kernel(event)))

    train_watched(watch, epochs=1, **arm)
    assert len(seen) >= 4
    assert all(counts["aten::convolution"] and counts["aten::isfinite"] for counts in seen), "it was the whole step"
    reads = [{name: counts[name] for name in READS if counts[name]} for counts in seen]
    assert not any(reads), reads


def test_the_profiler_sees_reads():
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        torch.ones(3).sum().item()
        torch.arange(3).nonzero()
        if torch.ones(()) > 0:
            torch.ones(3)[torch.ones(3) > 0]
    names = {event.name for event in profiled.events()}
    assert set(READS) - {"aten::masked_select"} <= names
