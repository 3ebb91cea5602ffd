"""The middle of a prediction without computing its border: what is kept of a patch when patches are stitched.

The far ends of the networks are local: what a decoder or refiner puts out at a pixel depends on a few pixels around it.
They are run on the pixels that are wanted and as many around them as their kernels reach (the halo), so every kept
number is made by the same operations as in the whole prediction. Where the wanted square comes near the edge, the crop
ends at the edge, and the padding there is the one of the whole image.

Shapes: B patterns, C channels, N patch side, k side of the kept square. Lengths in px.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from .blocks import ResidualBlock
from .ffno import Ffno
from .generator import Generator
from .heads import Head
from .hybrid import DecoderStage, Hybrid
from .lifter import Lifter

_CACHE_BYTES = 2**22
"""Size of the features of full resolution that are computed at a time."""


def predict_central(generator: nn.Module, amplitude_BCNN: Tensor, kept: slice) -> Tensor:
    """`generator(amplitude)[..., kept, kept]`, computed without what is not kept.

    Args:
        generator: any of ours; the Fourier architectures gain, the others are computed whole.
        amplitude_BCNN: real (B, C, N, N).
        kept: rows, and the same columns, of the patch; explicit bounds within 0..N.

    Returns:
        complex (B, C, k, k).
    """
    if not isinstance(generator, Generator):
        return crop(generator(amplitude_BCNN), kept)
    head, body, lifter = generator.head, generator.body, generator.lifter
    few = len(amplitude_BCNN)
    if amplitude_BCNN.device.type == "cpu":
        few = max(1, _CACHE_BYTES // (4 * lifter.mix.out_channels * generator.N**2))
    if isinstance(head, Head) and isinstance(body, Hybrid):
        return head(_hybrid(body, lifter, amplitude_BCNN, kept, few))

    def predict(part_BCNN: Tensor) -> Tensor:
        if isinstance(head, Head) and isinstance(body, (Ffno, nn.Sequential)):
            return head(_with_local_end(body, lifter(part_BCNN), kept))
        return crop(generator(part_BCNN), kept)

    return torch.cat([predict(part_BCNN) for part_BCNN in amplitude_BCNN.split(few)])


def crop(x: Tensor, rows: slice) -> Tensor:
    """The same rows and columns of every image."""
    return x[..., rows, rows]


class _StageRows(NamedTuple):
    """Rows, and the same columns, on the way through one decoder stage."""

    side: int
    """Of the whole image at this level, px."""
    joined: slice
    """Of the doubled image and the skip: what the first convolution is given."""
    merged: slice
    """What it gives to the second."""
    refined: slice
    """What the second gives: all that is wanted."""


def _hybrid(body: Hybrid, lifter: Lifter, amplitude_BCNN: Tensor, kept: slice, few: int) -> Tensor:
    """The encoder needs whole images, since spectra and norms are global; the decoder is local."""
    stages, wanted = _decoder_rows(body, amplitude_BCNN.shape[-1], kept)
    skips: list[Tensor] = []
    x = amplitude_BCNN
    for level, block in enumerate(body.encoder):
        whole = nn.Sequential(lifter, block) if level == 0 else block
        after = body.down[level] if level < len(stages) else body.bottleneck
        skip_rows = stages[level].joined if level < len(stages) else slice(0, 0)
        parts: list[tuple[Tensor, Tensor]] = []
        # A few patterns at a time where features are large, many where weights are: either stays in the cache.
        for part in x.split(few << level):
            y = whole(part)
            parts.append((after(y), crop(y, skip_rows)))
        x, skip = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        skips.append(skip)
    x = crop(x, wanted)
    for stage, rows, skip in zip(body.decoder, reversed(stages), reversed(skips[: len(stages)]), strict=True):
        assert isinstance(stage, DecoderStage)
        x = torch.cat([stage.up(x), skip], dim=1)
        x = stage.activation(_convolved(stage.merge, x, rows.joined, rows.merged, rows.side))
        x = _convolved(stage.refine, x, rows.merged, rows.refined, rows.side)
    return x


def _decoder_rows(body: Hybrid, N: int, kept: slice) -> tuple[list[_StageRows], slice]:
    """The decoder backwards, full resolution first, and the rows of the bottleneck that are needed."""
    stages: list[_StageRows] = []
    side = N
    for _ in body.decoder:
        merged = _grown(kept, 1, side)
        joined = _grown(merged, 1, side, even=True)
        stages.append(_StageRows(side, joined, merged, kept))
        kept, side = slice(joined.start // 2, joined.stop // 2), side // 2
    return stages, kept


def _convolved(layer: nn.Conv2d, x: Tensor, given: slice, wanted: slice, side: int) -> Tensor:
    """The rows `wanted` of a 3x3 convolution of an image of which the rows `given` are there; zeros outside of it."""
    needed = _grown(wanted, 1, side)
    before, after = needed.start - (wanted.start - 1), wanted.stop + 1 - needed.stop
    x = pad(crop(x, _within(needed, given)), (before, after, before, after))
    return conv2d(x, layer.weight, layer.bias)


def _with_local_end(body: Ffno | nn.Sequential, features: Tensor, kept: slice) -> Tensor:
    """Blocks on whole images, then the refiners on the crop."""
    if isinstance(body, Ffno):
        x, refiners = body.blocks(features), body.refiner
    else:
        blocks = sum(isinstance(part, ResidualBlock) for part in body)
        x, refiners = body[:blocks](features), body[blocks:]
    computed = _grown(kept, _halo(refiners), x.shape[-1])
    return crop(refiners(crop(x, computed)), _within(kept, computed))


def _halo(chain: nn.Module) -> int:
    """How far a chain of convolutions reaches: at most the sum of what each does."""
    return sum(layer.kernel_size[0] // 2 for layer in chain.modules() if isinstance(layer, nn.Conv2d))


def _grown(rows: slice, halo: int, side: int, even: bool = False) -> slice:
    """More rows on either side, as far as there are any; with `even`, bounds that a doubling of the side can have."""
    start, stop = max(0, rows.start - halo), min(side, rows.stop + halo)
    return slice(start - start % 2, stop + stop % 2) if even else slice(start, stop)


def _within(rows: slice, outer: slice) -> slice:
    return slice(rows.start - outer.start, rows.stop - outer.start)
