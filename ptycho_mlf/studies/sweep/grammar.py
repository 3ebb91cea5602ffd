"""Ranges of configuration parameters from text: `log:1e-5..1e-1`, `0.1..10`, `adam|sgd`, or a plain, fixed value."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from annotated_types import MultipleOf
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from ptycho_mlf.config import SECTIONS, InputError, parameters
from ptycho_mlf.config.describe import default_text
from ptycho_mlf.config.knob import trait
from ptycho_mlf.config.run import one_line

_LOG = "log:"


@dataclass(frozen=True)
class Interval:
    """Numbers from `low` to `high`, both included; whole numbers if both are int."""

    low: float
    high: float
    log: bool
    step: int = 1
    """Of whole numbers: what they are multiples of."""

    @property
    def whole(self) -> bool:
        """Whether it holds whole numbers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def text(self) -> str:
        """As it is written on a command line."""
        return f"{_LOG if self.log else ''}{self.low}..{self.high}"


@dataclass(frozen=True)
class Choices:
    """One of some values."""

    values: tuple[Any, ...]

    def text(self) -> str:
        """As it is written on a command line."""
        return "|".join(default_text(value) for value in self.values)


Range = Interval | Choices


@dataclass(frozen=True)
class Space:
    """What is searched and what is fixed, by the flat names of configuration parameters."""

    ranges: Mapping[str, Range] = field(default_factory=dict[str, Range])
    fixed: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def data_ranges(self) -> list[str]:
        """Parameters that are searched and change what the network sees or is validated on."""
        return [name for name in self.ranges if name in SECTIONS["data"].model_fields or name == "val_source"]

    def texts(self) -> dict[str, str]:
        """For JSON; `parse_space` reads it back."""
        return {name: found.text() for name, found in self.ranges.items()} | {
            name: default_text(value) for name, value in self.fixed.items()
        }


def parse_space(values: Mapping[str, str]) -> Space:
    """Read every value as a range or a fixed value, checked against the declared parameter.

    Raises:
        InputError: an unknown parameter, an empty range, one that is not positive on a log scale or leaves the
            bounds of the parameter, a choice that is not allowed, or a parameter that no search may vary.
    """
    known = {name: (section, declared) for section, name, declared in parameters()}
    ranges: dict[str, Range] = {}
    fixed: dict[str, Any] = {}
    for name, text in values.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise InputError(f"{name}={text}: no such parameter{f'; did you mean {close[0]}?' if close else ''}")
        found = _parse(name, text, *known[name])
        if isinstance(found, Interval | Choices):
            _refuse_unsearchable(name, text, known[name][1])
            ranges[name] = found
        else:
            fixed[name] = found
    return Space(ranges, fixed)


def _parse(name: str, text: str, section: str, declared: FieldInfo) -> Any:
    if "|" in text:
        return _choices(name, text, section)
    # A path may well hold two dots.
    if declared.annotation is not str and (".." in text or text.startswith(_LOG)):
        return _interval(name, text, section, declared)
    return _value(name, text, section)


def _choices(name: str, text: str, section: str) -> Choices:
    parts = [part.strip() for part in text.split("|")]
    if "" in parts:
        raise InputError(f"{name}={text}: an empty choice")
    values = tuple(_value(name, part, section) for part in parts)
    if len(set(values)) < len(values):
        raise InputError(f"{name}={text}: the same choice twice")
    return Choices(values)


def _interval(name: str, text: str, section: str, declared: FieldInfo) -> Interval:
    log = text.startswith(_LOG)
    ends = text.removeprefix(_LOG).split("..")
    if not _takes_numbers(declared.rebuild_annotation()):
        raise InputError(f"{name}={text}: has choices, not a range; join them with |")
    if len(ends) != 2 or not all(ends):
        raise InputError(f"{name}={text}: a range is written low..high, or log:low..high")
    low, high = (_value(name, end, section) for end in ends)
    if isinstance(low, str) or isinstance(high, str):
        raise InputError(f"{name}={text}: the ends of a range are numbers")
    if low >= high:
        raise InputError(f"{name}={text}: an empty range; its lower end must lie below its upper end")
    if log and low <= 0:
        raise InputError(f"{name}={text}: a logarithmic range must be positive")
    steps = [int(str(bound.multiple_of)) for bound in declared.metadata if isinstance(bound, MultipleOf)]
    step = steps[0] if steps else 1
    if log and step > 1:
        raise InputError(f"{name}={text}: multiples of {step} have no logarithmic range; join values with |")
    return Interval(low, high, log, step)


def _value(name: str, text: str, section: str) -> Any:
    """A single value, parsed and held against the declaration of its parameter."""
    model = SECTIONS[section]
    try:
        return getattr(model.model_validate({name: text}), name)
    except ValidationError as error:
        raise InputError(one_line(error, model)) from None


def _refuse_unsearchable(name: str, text: str, declared: FieldInfo) -> None:
    if name == "seed":
        raise InputError(f"{name}={text}: seeds are repeated, not searched; give seeds=, the number of them")
    if trait(declared, "execution_only"):
        raise InputError(f"{name}={text}: it does not change what is computed, so there is nothing to search")


def _takes_numbers(annotation: Any) -> bool:
    """Whether a parameter takes numbers, alone or beside words."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _takes_numbers(parts[0])
    if origin in (typing.Union, types.UnionType):
        return any(_takes_numbers(part) for part in parts)
    return annotation in (int, float)
