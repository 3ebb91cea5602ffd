"""The architectures by name, with what is to be known about them. Their defaults are in `config`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from torch import nn

from ..config import InputError, ModelConfig
from .heads import OutputHead, head
from .lifter import Lifter, lifter

Body = Callable[[ModelConfig, int], nn.Module]
"""(model, N) -> the body of a generator."""
Family = Literal["fourier", "factorised_fourier", "convolutional"]


@dataclass(frozen=True)
class GeneratorInfo:
    """What is to be known about an architecture."""

    name: str
    summary: str
    family: Family
    u_shaped: bool
    """Halves the resolution from level to level; depth is then limited by N."""
    normalised: bool
    """Has normalisation layers."""
    source: str
    """Where the architecture comes from."""
    body: Body
    lifter: Callable[[ModelConfig, int, int], Lifter]
    """(model, N, channels) -> what comes before the body."""
    head: Callable[[ModelConfig, int, int], OutputHead]
    """(model, N, channels) -> what comes after it."""


_REGISTRY: dict[str, GeneratorInfo] = {}


def register(
    name: str,
    *,
    summary: str,
    source: str,
    family: Family = "fourier",
    u_shaped: bool = False,
    normalised: bool = False,
    lifter: Callable[[ModelConfig, int, int], Lifter] = lifter,
    head: Callable[[ModelConfig, int, int], OutputHead] = head,
) -> Callable[[Body], Body]:
    """Decorator: make the body of a generator known under a name.

    Raises:
        ValueError: the name is taken.
    """

    def add(body: Body) -> Body:
        if name in _REGISTRY:
            raise ValueError(f"generator {name!r} is registered twice")
        _REGISTRY[name] = GeneratorInfo(name, summary, family, u_shaped, normalised, source, body, lifter, head)
        return body

    return add


def list_generators(pattern: str = "*") -> list[str]:
    """Names that match a shell pattern, sorted."""
    return sorted(name for name in _REGISTRY if fnmatchcase(name, pattern))


def generator_info(name: str) -> GeneratorInfo:
    """What is known about an architecture.

    Raises:
        InputError: no architecture of that name.
    """
    if name not in _REGISTRY:
        raise InputError(f"architecture={name}: must be one of {', '.join(list_generators())}")
    return _REGISTRY[name]
