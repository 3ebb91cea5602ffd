"""Reconstructions of the best and the worst seed of every arm as small images inside the page."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize
from PIL import Image

from ptycho_mlf.tracking.artifacts import Files

from .data import ArmPictures, Floats, Member, Picture
from .estimates import ENDED
from .texts import number

WEIGHTS = ("best", "last")
BUDGET = 2_000_000
"""Most characters of all images together."""
MAX_ARMS = 24
MAX_SIDE = 320
_MIN_SIDE = 48
_BYTES_PER_PIXEL = 0.7
"""Of a detailed image at this quality, as base64: a first guess of what fits."""
_SMALLER = 0.8
_MAPS = {"amp": "viridis", "phase": "cividis"}
_FLAT = 1e-6
"""Span of a truth without contrast: its own range would be no scale."""

Chosen = tuple[str, Member]
"""Role and run."""


@dataclass(frozen=True)
class _Arrays:
    """Aligned images of one reconstruction (H, W)."""

    amp: Floats
    phase: Floats
    truth_amp: Floats
    truth_phase: Floats


def reconstruction(weights: str) -> str:
    """Artifact path of the aligned images with these weights."""
    return f"reconstruction/{weights}.npz"


def chosen_members(members: Sequence[Member]) -> list[Chosen]:
    """Best and worst seed of every arm by the validation skill of the last weights; one that is not finite is worst."""
    chosen: list[Chosen] = []
    for arm in list(dict.fromkeys(member.arm for member in members))[:MAX_ARMS]:
        # Runs without a verdict, and runs given up early, are no outcome of the arm.
        ended = [m for m in members if m.arm == arm and m.outcome in ENDED]
        ended.sort(key=lambda m: -m.metrics.get("val/skill_last", -math.inf))
        if len(ended) > 1:
            chosen += [("best seed", ended[0]), ("worst seed", ended[-1])]
        else:
            chosen += [("only seed", member) for member in ended]
    return chosen


def arm_pictures(chosen: Sequence[Chosen], files: Files) -> tuple[ArmPictures, ...]:
    """Images of the chosen runs, as large as the budget allows; arms whose runs kept none are left out."""
    arrays = {key: _read(path) for key, path in files.items()}
    if not arrays:
        return ()
    count = 2 * len(arrays) + 2 * len({member.arm for _, member in chosen})
    side = min(MAX_SIDE, int(math.sqrt(BUDGET / (count * _BYTES_PER_PIXEL))))
    while True:
        made = tuple(_arm(arm, chosen, arrays, max(side, _MIN_SIDE)) for arm in _arms_with_images(chosen, arrays))
        if side <= _MIN_SIDE or sum(map(_size, made)) <= BUDGET:
            return made
        side = int(side * _SMALLER)


def _arms_with_images(chosen: Sequence[Chosen], arrays: Mapping[tuple[str, str], _Arrays]) -> list[str]:
    seen = {run_id for run_id, _ in arrays}
    return list(dict.fromkeys(member.arm for _, member in chosen if member.run_id in seen))


def _arm(arm: str, chosen: Sequence[Chosen], arrays: Mapping[tuple[str, str], _Arrays], side: int) -> ArmPictures:
    own = [(role, member) for role, member in chosen if member.arm == arm]
    shown = {
        (member.run_id, weights): arrays.get((member.run_id, reconstruction(weights)))
        for _, member in own
        for weights in WEIGHTS
    }
    images = [image for image in shown.values() if image is not None]
    truth = images[0]
    scales = {
        "amp": _scale(truth.truth_amp, [image.amp for image in images]),
        "phase": _scale(truth.truth_phase, [image.phase for image in images]),
    }
    pictures = [
        Picture(
            run_id=member.run_id,
            seed=member.seed,
            role=role,
            weights=weights,
            caption=_caption(member, weights),
            amp=None if image is None else data_uri(image.amp, "amp", scales["amp"], side),
            phase=None if image is None else data_uri(image.phase, "phase", scales["phase"], side),
        )
        for role, member in own
        for weights in WEIGHTS
        for image in (shown[member.run_id, weights],)
    ]
    truth_amp = data_uri(truth.truth_amp, "amp", scales["amp"], side)
    truth_phase = data_uri(truth.truth_phase, "phase", scales["phase"], side)
    return ArmPictures(arm, truth_amp, truth_phase, tuple(pictures))


def data_uri(image: Floats, kind: str, scale: Normalize, side: int) -> str:
    """An image (H, W) in the colours of its kind as WebP, its longer side at most `side` px."""
    rgb = (colormaps[_MAPS[kind]](scale(image))[..., :3] * 255).round().astype(np.uint8)
    picture = Image.fromarray(rgb)
    largest = max(picture.size)
    if largest > side:
        width, height = (max(1, round(length * side / largest)) for length in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BOX)
    packed = io.BytesIO()
    picture.save(packed, "WEBP", quality=82, method=3)
    return f"data:image/webp;base64,{base64.b64encode(packed.getvalue()).decode()}"


def _read(path: Path) -> _Arrays:
    with np.load(path) as arrays:
        return _Arrays(*(arrays[name].astype(float) for name in ("amp", "phase", "truth_amp", "truth_phase")))


def _scale(truth: Floats, images: Sequence[Floats]) -> Normalize:
    """From the least to the greatest true value; where the truth is flat, what the predictions span."""
    values = [truth] if np.ptp(truth) > _FLAT else [truth, *images]
    low, high = min(float(np.nanmin(v)) for v in values), max(float(np.nanmax(v)) for v in values)
    return Normalize(low, max(high, low + 1e-3), clip=True)


def _caption(member: Member, weights: str) -> str:
    scores = [
        f"{label} {number(value)}"
        for label, name in (("skill", f"val/skill_{weights}"), ("SSIM", f"test/{weights}/ssim_amp"))
        if (value := member.metrics.get(name)) is not None
    ]
    return ", ".join(scores)


def _size(made: ArmPictures) -> int:
    uris = [made.truth_amp, made.truth_phase, *(uri for p in made.pictures for uri in (p.amp, p.phase))]
    return sum(len(uri) for uri in uris if uri is not None)
