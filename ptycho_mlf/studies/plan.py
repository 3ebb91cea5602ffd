"""`StudyPlan`: everything that decides what a study computes, as it is kept beside its trials."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from ptycho_mlf.config import InputError, RunConfig

from .arms import Arm, arm_config

StudyKind = Literal["arms", "sweep", "lr_threshold"]

GROWS = ("seeds", "max_trials", "interval_width")
"""Settings that say how much is done, not what: a study continues with other values of these."""


@dataclass(frozen=True)
class StudyPlan:
    """What a study computes. Two plans are one study if they differ in `settings` named in `GROWS` only."""

    entry: str
    """The entry point, such as `crash_hunt`."""
    kind: StudyKind
    arms: Mapping[str, Mapping[str, Any]]
    """By name, the flat parameters of each arm that differ from the defaults."""
    settings: Mapping[str, Any]
    """The study's own parameters."""
    impossible: Mapping[str, str] = field(default_factory=dict[str, str])
    """Arms that cannot exist, with the reason: recorded, never run, part of no probability."""
    space: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Of a sweep: its ranges."""

    def config(self, arm: str, **changes: Any) -> RunConfig:
        """The configuration of an arm, with some parameters changed; those they leave without a meaning fall away.

        Raises:
            InputError: a change that breaks a rule.
        """
        return arm_config(Arm(arm, self.arms[arm]), changes)

    def default_name(self) -> str:
        """The entry's name and a digest of what is computed."""
        text = json.dumps(self._decisive(), sort_keys=True)
        return f"{self.entry}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def to_json(self) -> dict[str, Any]:
        """For the storage."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The inverse."""
        return cls(**document)

    def differences(self, other: Self) -> dict[str, tuple[Any, Any]]:
        """Where another plan computes something else: by dotted name, the values of both; None where it has none."""
        mine, its = self._leaves(other), other._leaves(self)
        names = [name for name in {**mine, **its} if mine.get(name) != its.get(name)]
        return {name: (mine.get(name), its.get(name)) for name in names}

    def check_same(self, other: Self, study: str) -> None:
        """Refuse to continue a study with another plan.

        Raises:
            InputError: naming the study and what differs.
        """
        found = self.differences(other)
        if found:
            first = list(found.items())[:4]
            shown = "; ".join(f"{name} is {_text(old)} there, {_text(new)} here" for name, (old, new) in first)
            more = f" (and {len(found) - 4} more)" if len(found) > 4 else ""
            raise InputError(f"study={study}: it exists with other settings: {shown}{more}; name another study")

    def _leaves(self, other: Self) -> dict[str, Any]:
        """Every value by dotted name; of an arm that both have, also those at their defaults."""
        document = self._decisive()
        defaults = RunConfig().flat()
        for arm in self.arms.keys() & other.arms.keys():
            document["arms"][arm] = {name: defaults[name] for name in other.arms[arm]} | document["arms"][arm]
        return _leaves(document)

    def _decisive(self) -> dict[str, Any]:
        document = self.to_json()
        document["settings"] = {name: value for name, value in document["settings"].items() if name not in GROWS}
        return document


def changed_from_default(config: RunConfig) -> dict[str, Any]:
    """The flat parameters that differ from the defaults."""
    defaults = RunConfig().flat()
    return {name: value for name, value in config.flat().items() if value != defaults[name]}


def _text(value: object) -> str:
    return "missing" if value is None else repr(value)


def _leaves(value: object, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return {n: leaf for key, part in value.items() for n, leaf in _leaves(part, f"{prefix}{key}.").items()}
    return {prefix.removesuffix("."): value}
