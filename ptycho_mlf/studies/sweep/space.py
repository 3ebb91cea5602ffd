"""The search space as it is run through: what a choice does not use is not suggested (a conditional space)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from typing import Any, Protocol

import numpy as np

from ptycho_mlf.config import InputError, RunConfig, parameters
from ptycho_mlf.config.knob import UsedIf, used_if

from .grammar import Choices, Interval, Range, Space, parse_space

_DEFAULT = {
    "optimizer": "adam|adamw|sgd",
    "learning_rate": "log:1e-5..1e-1",
    "clip_algorithm": "none|norm|value|agc|zclip",
    "clip_value": "log:1e-3..10",
    "scheduler": "Default|Exponential|WarmupCosine",
}
"""What is searched when no range is given; warm-up comes with the length of the training."""
_DRAWS = 200
"""Points that are tried before a space counts as impossible."""
_DECLARED = {name: field for _, name, field in parameters()}


class Suggester(Protocol):
    """What draws values, such as an Optuna trial."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""
        ...

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number."""
        ...

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number."""
        ...


def complete(space: Space) -> Space:
    """The space itself if it has a range; else the default one beside what is fixed.

    Raises:
        InputError: something that no point of the space uses, or a space without any possible point.
    """
    if not space.ranges:
        epochs = space.fixed.get("epochs", _DECLARED["epochs"].default)
        warmup = {"lr_warmup_epochs": f"0..{epochs // 2}"} if epochs > 1 else {}
        default = parse_space(_DEFAULT | warmup).ranges
        whole = Space({name: default[name] for name in default if name not in space.fixed}, space.fixed)
        reached = {name: found for name, found in whole.ranges.items() if _is_reached(name, whole)}
        space = Space(reached, space.fixed)
    for name, text in space.texts().items():
        condition = used_if(_DECLARED[name])
        if condition and not _is_reached(name, space) and space.fixed.get(name) != _DECLARED[name].default:
            raise InputError(f"{name}={text}: nothing uses it here; it needs {condition.text}")
    _refuse_impossible(space)
    return space


def suggest(trial: Suggester, space: Space) -> dict[str, Any]:
    """Settings of one point, without what they do not use; the combination may still be impossible."""
    settings: dict[str, Any] = {}
    for name in _order(space):
        condition = used_if(_DECLARED[name])
        if condition is None or condition.holds(_defaults() | settings):
            settings[name] = _draw(trial, name, space.ranges[name]) if name in space.ranges else space.fixed[name]
    return settings


def _draw(trial: Suggester, name: str, found: Range) -> Any:
    if isinstance(found, Choices):
        return trial.suggest_categorical(name, found.values)
    if found.whole:
        return trial.suggest_int(name, int(found.low), int(found.high), step=found.step, log=found.log)
    return trial.suggest_float(name, found.low, found.high, log=found.log)


def _order(space: Space) -> list[str]:
    """Names of the space, each after those that decide whether it is used."""
    names = list(space.fixed) + list(space.ranges)
    graph = {name: [other for other in _read_by(name, space) if other in names] for name in names}
    return list(TopologicalSorter(graph).static_order())


class _Noted(dict[str, Any]):
    """Settings that note which of them are looked at."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.read: dict[str, None] = {}

    def __getitem__(self, name: str) -> Any:
        self.read[name] = None
        return super().__getitem__(name)


def _read_by(name: str, space: Space) -> list[str]:
    """The parameters that the condition of a parameter looks at."""
    return list(_tried(used_if(_DECLARED[name]), space)[0])


def _is_reached(name: str, space: Space) -> bool:
    """Whether some point of the space uses a parameter."""
    return _tried(used_if(_DECLARED[name]), space)[1]


def _tried(condition: UsedIf | None, space: Space) -> tuple[dict[str, None], bool]:
    """What a condition reads, and whether some settings of the space fulfil it.

    A condition is a function, and stops reading where it knows enough: so it is tried with the possible values of
    what it has read so far, until it reads nothing new.
    """
    if condition is None:
        return {}, True
    read: dict[str, None] = {}
    before, holds = -1, False
    while before < len(read):
        before, holds = len(read), False
        for values in itertools.product(*(_possible(name, space) for name in read)):
            settings = _Noted(_defaults() | dict(zip(read, values, strict=True)))
            holds = condition.holds(settings) or holds
            read = read | settings.read
            if len(read) > before:
                break
    return read, holds


def _possible(name: str, space: Space) -> Iterator[Any]:
    """Values of a parameter that conditions may tell apart: all choices, both ends, and the default where the
    parameter itself may be unused.
    """
    found = space.ranges.get(name)
    if isinstance(found, Interval):
        yield from (found.low, found.high)
    elif isinstance(found, Choices):
        yield from found.values
    elif name in space.fixed:
        yield space.fixed[name]
    if (found is None and name not in space.fixed) or used_if(_DECLARED[name]):
        yield _DECLARED[name].default


def _defaults() -> dict[str, Any]:
    return {name: field.default for name, field in _DECLARED.items()}


class _RandomDraw:
    """Draws without a study."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return choices[int(self._rng.integers(len(choices)))]

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        if log:
            return round(self.suggest_float(name, low, high, log=True))
        return low + step * int(self._rng.integers((high - low) // step + 1))

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        share = self._rng.random()
        return float(low * (high / low) ** share) if log else float(low + (high - low) * share)


def _refuse_impossible(space: Space) -> None:
    """Refuse a space in which no point is possible, before there is a study."""
    draw, reason = _RandomDraw(), ""
    for _ in range(_DRAWS):
        try:
            RunConfig.from_flat(suggest(draw, space))
        except InputError as error:
            reason = str(error)
        else:
            return
    raise InputError(reason)
