"""Parameters of a generator: how many there are, along which axis their units lie, which belong to the head.

A module that owns parameters declares them where it creates them: `unit_axis` maps the name of a parameter to the axis
of its units (None: no units, never clipped), `complex_pairs` names those whose last axis is (re, im).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from torch import nn

from .heads import OutputHead
from .spectral_layer import SpectralLayer

_TORCH_UNIT_AXIS: dict[type[nn.Module], dict[str, int | None]] = {
    nn.Conv2d: {"weight": 0, "bias": None},
    nn.ConvTranspose2d: {"weight": 1, "bias": None},
    nn.Linear: {"weight": 0, "bias": None},
    nn.GroupNorm: {"weight": None, "bias": None},
}


@dataclass(frozen=True)
class ParameterCount:
    """Size of a network."""

    numel: int
    """Parameters; a complex weight, or a stored (re, im) pair, counts once."""
    real: int
    """Real numbers; a complex weight counts twice."""
    live: int
    """Real numbers that can receive a gradient."""


def count_parameters(module: nn.Module) -> ParameterCount:
    """Count the parameters of a module, shared ones once."""
    numel = real = live = 0
    for owner, name, parameter in _owned(module):
        pairs = name in cast(frozenset[str], getattr(owner, "complex_pairs", frozenset()))
        reals = parameter.numel() * (2 if parameter.is_complex() else 1)
        real += reals
        numel += parameter.numel() // 2 if pairs else parameter.numel()
        live += owner.live_reals if isinstance(owner, SpectralLayer) else reals
    return ParameterCount(numel, real, live)


def unit_axes(module: nn.Module) -> dict[str, int | None]:
    """The unit axis of every parameter by its full name; None for those without units (biases, gains, gates).

    A unit is what one output channel sees: all other axes belong to it (Brock et al. 2021, arXiv:2102.06171).

    Raises:
        ValueError: a parameter whose module declares no axis for it.
    """
    axes: dict[str, int | None] = {}
    paths = {owner: path for path, owner in module.named_modules()}
    for owner, name, _ in _owned(module):
        path = f"{paths[owner]}.{name}".lstrip(".")
        declared = _TORCH_UNIT_AXIS.get(type(owner)) or cast(dict[str, int | None], getattr(owner, "unit_axis", {}))
        if name not in declared:
            raise ValueError(f"parameter {path}: {type(owner).__name__} declares no unit axis for {name!r}")
        axes[path] = declared[name]
    return axes


def head_parameters(module: nn.Module) -> set[str]:
    """Full names of the parameters of the output head that make the output."""
    return {
        f"{path}.{name}".lstrip(".")
        for path, part in module.named_modules()
        if isinstance(part, OutputHead)
        for name in part.last_layers()
    }


def _owned(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Parameter]]:
    seen: set[nn.Parameter] = set()
    for owner in module.modules():
        for name, parameter in owner.named_parameters(recurse=False):
            if parameter not in seen:
                seen.add(parameter)
                yield owner, name, parameter
