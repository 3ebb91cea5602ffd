"""One step of a training is the same operations as any other: what may be recorded once and played back.

A recording (a graph of a GPU's kernels) fixes every operation, shape and number that comes from Python. So these may
change from step to step with what a recording can be chosen by alone: patterns in the batch, and whether the step is
measured. The learning rate and the row of the trace change too, and are told apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ptycho_mlf.telemetry.trace import DEVICE_COLUMNS, FLUSH_EVERY
from ptycho_mlf.training.clipping import ZClip
from ptycho_mlf.training.module import PtychoModule


class Recording(TorchDispatchMode):
    """All operations in order, the backward pass included, with everything in them that Python decides."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[object, ...]] = []
        self.changing: list[object] = []

    def __torch_dispatch__(self, func: Any, types: object, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.namespace == "profiler":  # Marks of torch's optimizers for profilers.
            return func(*args, **kwargs)
        names = [argument.name for argument in func._schema.arguments]
        given = dict(zip(names, args, strict=False)) | kwargs
        for name in self._changes(str(func), given):
            self.changing.append((str(func), name, given.pop(name)))
        self.operations.append((str(func), *((name, plain(value)) for name, value in given.items())))
        return func(*args, **kwargs)

    @staticmethod
    def _changes(operation: str, given: dict[str, Any]) -> list[str]:
        if operation.startswith("aten._fused_"):
            return ["lr"]
        trace = (FLUSH_EVERY, len(DEVICE_COLUMNS))
        return ["index"] if operation.startswith("aten.select.") and given["self"].shape == trace else []


def plain(value: Any) -> Any:
    """What a recording fixes of an argument."""
    if isinstance(value, Tensor):
        return tuple(value.shape), value.stride(), value.dtype
    return tuple(plain(part) for part in value) if isinstance(value, list | tuple) else value


ARMS = [
    {"clip_algorithm": "norm", "optimizer": "adam", "scheduler": "WarmupCosine"},
    {"clip_algorithm": "agc", "optimizer": "sgd", "scheduler": "Exponential"},
    {"clip_algorithm": "agc_per_tensor", "optimizer": "sgd", "momentum": 0.0},
    {"clip_algorithm": "zclip", "optimizer": "adamw", "scheduler": "ReduceLROnPlateau"},
    {"clip_algorithm": "value", "loss": "poisson"},
    {"clip_algorithm": "none", "architecture": "stable_hybrid", "gridsize": 2},
    {"clip_algorithm": "norm", "loss": "supervised", "architecture": "ffno"},
]


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: "-".join(str(value) for value in arm.values()))
def test_steps_of_a_kind_are_the_same_operations(arm: dict[str, object], train_watched, monkeypatch):
    collected = 4
    monkeypatch.setattr(ZClip, "COLLECT", collected)
    kinds = defaultdict[tuple[object, ...], list[Recording]](list)

    def record(module: PtychoModule, batch: Any, step: Callable[[], None]) -> None:
        taken = module.steps_taken
        with Recording() as recording:
            step()
        # Optimizers make their state at the first step; zclip begins by collecting norms.
        begins = taken == 0 or (arm["clip_algorithm"] == "zclip" and taken < collected)
        kinds[len(batch["amplitude"]), module.last_step.size is None, taken if begins else "later"].append(recording)

    train_watched(record, epochs=4, update_stride=2, **arm)
    repeated = [recordings for recordings in kinds.values() if len(recordings) > 1]
    assert len(repeated) >= 3, "measured steps and others, whole batches and the last"
    for first, *others in repeated:
        assert len(first.operations) > 50, "it was the whole step"
        for other in others:
            differing = [pair for pair in zip(first.operations, other.operations, strict=True) if pair[0] != pair[1]]
            assert not differing
            assert len(other.changing) == len(first.changing) > 1
