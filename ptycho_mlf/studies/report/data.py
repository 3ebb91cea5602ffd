"""What a report is made of: the runs of a study and their curves, free of any store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Outcome = Literal["crashed", "survived", "stagnated", "oom", "pruned", "none"]
"""What a run says about stability. Only `crashed` and `survived` count in a crash probability; `none` are runs without
a verdict: killed, failed, or still running."""


@dataclass(frozen=True)
class Series:
    """One column of a trace in buckets of consecutive steps (K buckets); infinity stands for what is not finite."""

    median_K: Floats
    low_K: Floats
    high_K: Floats

    def __len__(self) -> int:
        return len(self.median_K)


@dataclass(frozen=True)
class Validations:
    """Validation losses (E epochs) at the number of steps taken until then; infinity for what is not finite."""

    step_E: Floats
    loss_E: Floats
    initial: float | None = None
    """Before the first step."""


@dataclass(frozen=True)
class Member:
    """One run of a study."""

    run_id: str
    name: str
    arm: str
    seed: str
    status: str
    """FINISHED, FAILED, KILLED or RUNNING."""
    verdict: str | None
    outcome: Outcome
    dataset_hash: str
    params: Mapping[str, str]
    """Parameters of the run as the store has them, as text."""
    metrics: Mapping[str, float]
    onset_step: int | None = None
    stopped_early: bool = False
    reason: str = ""
    """Why it failed or was killed."""
    steps: int | None = None
    """Optimizer steps in its trace; None without a trace."""
    loss: Series | None = None
    grad_norm: Series | None = None
    validations: Validations | None = None
    missing: tuple[str, ...] = ()
    """Artifacts a report reads that this run does not have."""

    @property
    def counts(self) -> bool:
        """Whether it is part of a crash probability."""
        return self.outcome in ("crashed", "survived")

    @property
    def learning_rate(self) -> float | None:
        """Peak learning rate."""
        text = self.params.get("learning_rate")
        return None if text is None else float(text)


@dataclass(frozen=True)
class Picture:
    """Images of one run and set of weights as data URIs; None where there is none."""

    run_id: str
    seed: str
    role: str
    """Best seed, worst seed, or only seed of the arm."""
    weights: str
    caption: str
    amp: str | None
    phase: str | None


@dataclass(frozen=True)
class ArmPictures:
    """Reconstructions of an arm beside the truth."""

    arm: str
    truth_amp: str | None
    truth_phase: str | None
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class StudyData:
    """Everything a report shows, before any statistics."""

    name: str
    kind: str
    """arms, sweep, lr_threshold, ...; empty for a set of runs that is no study."""
    members: tuple[Member, ...]
    bucket: int = 1
    """Steps per bucket of every series."""
    parent: str | None = None
    command: str = ""
    """What began the study, if it is known."""
    made_at: str = ""
    impossible: Mapping[str, str] = field(default_factory=dict[str, str])
    """Arms that cannot exist at their size, and why."""
    pictures: tuple[ArmPictures, ...] = ()
    rate_range: tuple[float, float] | None = None
    """Learning rates that a threshold search was to look at."""

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of all arms that have runs, in the order of their first run."""
        return tuple(dict.fromkeys(member.arm for member in self.members))

    def of(self, arm: str) -> tuple[Member, ...]:
        """Runs of an arm."""
        return tuple(member for member in self.members if member.arm == arm)

    @property
    def dataset_hashes(self) -> tuple[str, ...]:
        """All that occur, in order; more than one means that runs cannot be ranked."""
        return tuple(dict.fromkeys(member.dataset_hash for member in self.members if member.dataset_hash))

    @property
    def comparable(self) -> bool:
        """Whether all runs saw the same data."""
        return len(self.dataset_hashes) <= 1
