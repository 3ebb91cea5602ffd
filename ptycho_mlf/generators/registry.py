"""The architectures by name, with what is to be known about them. Their defaults are in `config`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from torch import nn

from ..config import InputError, ModelConfig

Body = Callable[[ModelConfig, int], nn.Module]
"""(model, N) -> the body of a generator."""


@dataclass(frozen=True)
class GeneratorInfo:
    """What is to be known about an architecture."""

    name: str
    summary: str
    family: Literal["fourier", "factorised_fourier"]
    u_shaped: bool
    """Halves the resolution from level to level; depth is then limited by N."""
    normalised: bool
    """Has normalisation layers."""
    source: str
    """Where the architecture comes from."""
    body: Body


_REGISTRY: dict[str, GeneratorInfo] = {}


def register(
    name: str,
    *,
    summary: str,
    source: str,
    family: Literal["fourier", "factorised_fourier"] = "fourier",
    u_shaped: bool = False,
    normalised: bool = False,
) -> Callable[[Body], Body]:
    """Decorator: make the body of a generator known under a name.

    Raises:
        ValueError: the name is taken.
    """

    def add(body: Body) -> Body:
        if name in _REGISTRY:
            raise ValueError(f"generator {name!r} is registered twice")
        _REGISTRY[name] = GeneratorInfo(name, summary, family, u_shaped, normalised, source, body)
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
