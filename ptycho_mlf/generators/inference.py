"""The size of a generator, read from the names and shapes of its weights.

What leaves no trace in a shape is not found out: `input_transform`, the initial layer scale, whether a head of one
convolution is read as `real_imag` or `amp_phase_logits`, and `cnn_amplitude`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any

from torch import Tensor, nn

from ..config import InputError, ModelConfig
from ..config.model import cnn_stages
from .registry import generator_info

Shapes = Mapping[str, tuple[int, ...]]
_SIDES = range(16, 513, 2)
"""Sides of patterns that are tried where it is not given."""


@dataclass(frozen=True)
class InferredSize:
    """What the shapes tell."""

    settings: dict[str, Any]
    """Parameters of `ModelConfig` by name; those that no shape depends on are left out."""
    N: int
    channels: int


@dataclass(frozen=True)
class _Spectrum:
    """A two-dimensional spectral layer: its stored modes, and how its side and modes follow from those of the model."""

    stored: int
    halvings: int = 0
    mode_divisor: int = 1


def infer_size(architecture: str, weights: Mapping[str, Tensor], N: int | None, preferred: int) -> InferredSize:
    """Find out with which settings a generator was built.

    Args:
        architecture: its name in the registry.
        weights: its state dict.
        N: side of the patterns, where it is known.
        preferred: the side that is taken where N is not known and the shapes leave a choice.

    Raises:
        InputError: no such architecture, weights that are not of this architecture, no or no single N that fits.
    """
    generator_info(architecture)
    shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
    width, channels, *_ = _shape(shapes, "lifter.lift.weight", 4)
    settings, spectra = _READERS[architecture](shapes)
    settings = {"architecture": architecture, "width": width} | settings
    if "head.amplitude.weight" in shapes:
        settings["output_mode"] = "amp_phase"
    stages = _count(shapes, "body.widen") + 1 if architecture == "cnn" else None
    found = {side: fit for side in ([N] if N else _SIDES) if (fit := _fit(settings, spectra, stages, side)) is not None}
    if not found:
        if stages is not None:
            raise InputError(f"a cnn of {stages} encoder stages is one for N from {8 << stages} to {15 << stages}")
        where = f"N={N}" if N else "no N"
        stored = ", ".join(str(spectrum.stored) for spectrum in spectra)
        raise InputError(f"{where} and no number of modes give {architecture} the stored modes {stored}")
    side = next(iter(found)) if len(found) == 1 else preferred
    if side not in found:
        raise InputError(f"the shapes fit N={min(found)} and larger ones, {len(found)} in all; say which with N")
    return InferredSize(settings | found[side], side, channels)


def check_weights(generator: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Compare weights with those that a generator has.

    Raises:
        InputError: a weight that is missing, has another shape, or does not belong there: the first by name.
    """
    have = {name: tuple(weight.shape) for name, weight in weights.items()}
    need = {name: tuple(weight.shape) for name, weight in generator.state_dict().items()}
    wrong = sorted(name for name in have.keys() | need.keys() if have.get(name) != need.get(name))
    if wrong:
        name = wrong[0]
        found = f"has shape {have[name]}" if name in have else "is missing"
        wanted = f"must be {need[name]}" if name in need else "does not belong to this network"
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise InputError(f"{name} {found}, {wanted}{more}")


def _fno(shapes: Shapes) -> tuple[dict[str, Any], list[_Spectrum]]:
    settings, spectra = _fno_vanilla(shapes)
    blocks = settings["fno_blocks"]
    _shape(shapes, f"body.{blocks}.weight", 4)  # The 1x1 convolution between blocks and refiners.
    return settings | {"cnn_blocks": _count(shapes, "body") - blocks - 1}, spectra


def _fno_vanilla(shapes: Shapes) -> tuple[dict[str, Any], list[_Spectrum]]:
    names = [f"body.{index}.branch.spectral.weight" for index in range(_count(shapes, "body"))]
    spectra = [_spectrum(shapes, name) for name in names if name in shapes]
    if not spectra:
        raise InputError(f"{names[0] if names else 'body.0.branch.spectral.weight'} is missing")
    return {"fno_blocks": len(spectra)}, spectra


def _hybrid(shapes: Shapes, operator: str = "branch") -> tuple[dict[str, Any], list[_Spectrum]]:
    levels = _count(shapes, "body.encoder")
    width = _shape(shapes, "lifter.lift.weight", 4)[0]
    deepest = _shape(shapes, f"body.encoder.{max(levels, 1) - 1}.{operator}.local.weight", 4)[0]
    cap = deepest if deepest < width * 2 ** (levels - 1) else 0
    spectra = [
        _spectrum(shapes, f"body.encoder.{level}.{operator}.spectral.weight", halvings=level) for level in range(levels)
    ]
    name = f"body.bottleneck.{operator}.spectral.weight"
    spectra.append(_spectrum(shapes, name, halvings=levels - 1, mode_divisor=2))
    return {"fno_blocks": levels, "max_hidden_channels": cap}, spectra


def _stable_hybrid(shapes: Shapes) -> tuple[dict[str, Any], list[_Spectrum]]:
    settings, spectra = _hybrid(shapes, "branch.operator")
    scaled = "body.encoder.0.branch.layerscale" in shapes
    return settings | {"residual": "layerscale" if scaled else "zero_gamma"}, spectra


def _ffno(shapes: Shapes) -> tuple[dict[str, Any], list[_Spectrum]]:
    blocks = _count(shapes, "body.mixer")
    settings: dict[str, Any] = {
        "fno_blocks": blocks,
        "modes": _shape(shapes, "body.spectral.0.along_x.weight", 4)[0],
        "cnn_blocks": _count(shapes, "body.refiner"),
    }
    for name, part in (("ffno_weights", "body.spectral"), ("ffno_gate", "body.gate")):
        settings[name] = "per_block" if _count(shapes, part) > 1 else "shared"
    return settings, []


def _hybrid_resnet(shapes: Shapes) -> tuple[dict[str, Any], list[_Spectrum]]:
    blocks = _count(shapes, "body.encoder")
    names = [f"body.encoder.{block}.branch.spectral.weight" for block in range(max(blocks, 1))]
    spectra = [_spectrum(shapes, name, halvings=min(level, 2)) for level, name in enumerate(names)]
    adapter = "body.adapter.weight"
    settings: dict[str, Any] = {
        "fno_blocks": blocks,
        "resnet_blocks": _count(shapes, "body.resnet"),
        "resnet_width": _shape(shapes, adapter, 4)[0] if adapter in shapes else 0,
        "resnet_downsample": "strided",
        "resnet_skips": "none",
    }
    if "body.down.0.weight" not in shapes:
        settings["resnet_downsample"] = "blur_pool" if "body.down.0.0.kernel" in shapes else "avg_pool"
    projection = "body.decoder.0.join.projection.weight"
    if projection in shapes:
        upsampled = _shape(shapes, "body.decoder.0.up.weight", 4)[1]
        skip = _shape(shapes, "body.encoder.1.branch.local.weight", 4)[0]
        added = "gated_add" if "body.decoder.0.join.gate.value" in shapes else "add"
        joined = _shape(shapes, projection, 4)[1]
        settings["resnet_skips"] = "concat" if joined == upsampled + skip else added
    return settings, spectra


def _cnn(shapes: Shapes) -> tuple[dict[str, Any], list[_Spectrum]]:
    first, _, *_ = _shape(shapes, "lifter.lift.weight", 4)
    # Channels double from stage to stage, up to eight times the width.
    bottleneck = first << _count(shapes, "body.widen")
    return {
        "width": bottleneck // 8,
        "cbam": "body.encoder.0.attention.spatial.compress.weight" in shapes,
        "probe_big": "head.amplitude.ring.weight" in shapes,
    }, []


_READERS: dict[str, Callable[[Shapes], tuple[dict[str, Any], list[_Spectrum]]]] = {
    "fno": _fno,
    "fno_vanilla": _fno_vanilla,
    "hybrid": _hybrid,
    "stable_hybrid": _stable_hybrid,
    "ffno": _ffno,
    "hybrid_resnet": _hybrid_resnet,
    "cnn": _cnn,
}
"""For every registered architecture: names and shapes to settings, and the spectra that tell modes and N."""


def _fit(settings: Mapping[str, Any], spectra: list[_Spectrum], stages: int | None, N: int) -> dict[str, Any] | None:
    """The kind and number of modes that store what is stored, if this N allows it."""
    if stages is not None:
        return {} if cnn_stages(N) == stages and N % max(4, 2**stages) == 0 else None
    if not spectra:
        return {} if settings["modes"] <= N // 2 + 1 else None
    if settings["architecture"] == "hybrid_resnet" and N % 4:
        return None
    stored = spectra[0].stored
    candidates = [("two_sided", isqrt(stored // 2)), ("two_sided", stored // N), ("one_sided", isqrt(stored))]
    limit = ModelConfig(architecture=settings["architecture"]).depth_limit(N)
    if limit is not None and settings["fno_blocks"] > limit:
        return None
    for kind, modes in candidates:
        if 2 <= modes <= N // 2 + 1 and all(
            _stored(kind, modes // s.mode_divisor, N >> s.halvings) == s.stored for s in spectra
        ):
            return {"spectral": kind, "modes": modes}
    return None


def _stored(kind: str, modes: int, side: int) -> int:
    """Modes that a spectral layer stores (`SpectralConv2d`)."""
    return modes * modes if kind == "one_sided" else min(2 * modes, side) * min(modes, side // 2 + 1)


def _spectrum(shapes: Shapes, name: str, halvings: int = 0, mode_divisor: int = 1) -> _Spectrum:
    return _Spectrum(_shape(shapes, name, 4)[0], halvings, mode_divisor)


def _shape(shapes: Shapes, name: str, axes: int) -> tuple[int, ...]:
    if name not in shapes:
        raise InputError(f"{name} is missing")
    if len(shapes[name]) != axes:
        raise InputError(f"{name} has shape {shapes[name]}, must have {axes} axes")
    return shapes[name]


def _count(shapes: Iterable[str], prefix: str) -> int:
    """Items of a list of modules."""
    return len({name[len(prefix) + 1 :].split(".")[0] for name in shapes if name.startswith(f"{prefix}.")})
