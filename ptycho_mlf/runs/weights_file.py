"""Weights of a generator from a file: Lightning checkpoint, state dict or safetensors. No pickled code is executed."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ptycho_mlf.config import InputError
from ptycho_mlf.training.checkpoints import PARAMETERS

_PREFIX = "model."
_BROKEN = (RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError, AssertionError)
"""What torch's reader raises on files that are none of its own, depending on their first bytes."""


@dataclass(frozen=True)
class WeightsFile:
    """What the file holds."""

    weights: dict[str, Tensor]
    """The generator's state dict, on the CPU."""
    step: int | None
    """Optimizer steps taken, where the file says so."""
    parameters: Mapping[str, Any] | None
    """Of the run whose checkpoint it is, by their flat names."""


def read_weights(path: Path) -> WeightsFile:
    """Read the weights of a generator; the prefix `model.` of a Lightning module is taken off.

    Raises:
        InputError: a file that cannot be read, needs code to be executed, or holds no weights.
    """
    document = _document(path)
    states = document.get("state_dict", document)
    if not isinstance(states, Mapping) or not states:
        raise InputError(f"checkpoint={path}: it holds no weights")
    strange = [name for name, value in states.items() if not isinstance(name, str) or not isinstance(value, Tensor)]
    if strange:
        kind = type(states[strange[0]]).__name__
        raise InputError(f"checkpoint={path}: it is no state dict: {strange[0]!r} is a {kind}, not a tensor")
    weights = cast(Mapping[str, Tensor], states)
    if any(name.startswith(_PREFIX) for name in weights):
        weights = {name.removeprefix(_PREFIX): w for name, w in weights.items() if name.startswith(_PREFIX)}
    steps = document.get("steps_taken", document.get("global_step"))
    parameters = document.get(PARAMETERS)
    return WeightsFile(
        dict(weights),
        steps if isinstance(steps, int) else None,
        parameters if isinstance(parameters, Mapping) else None,
    )


def _document(path: Path) -> Mapping[Any, Any]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        document = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"checkpoint={path}: cannot be read ({error.strerror or error})") from None
    except SafetensorError as error:
        raise InputError(f"checkpoint={path}: no safetensors file ({error})") from None
    except pickle.UnpicklingError:
        raise InputError(
            f"checkpoint={path}: refused, it holds more than plain weights (or no weights at all)"
        ) from None
    except _BROKEN as error:
        raise InputError(f"checkpoint={path}: no file of weights ({type(error).__name__})") from None
    if not isinstance(document, Mapping):
        raise InputError(f"checkpoint={path}: it holds a {type(document).__name__}, no state dict")
    return cast(Mapping[Any, Any], document)
