"""A generator applied to a scan, pattern by pattern, into one image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ptycho_mlf.evaluation.stitching import Stitcher
from ptycho_mlf.generators.central import predict_central
from ptycho_mlf.generators.merged_branch import merge_branches
from ptycho_mlf.scan import Scan

BATCH = 64
"""Patterns at a time. What passes through a large level at a time is less, so that it stays in the cache."""


@torch.inference_mode()
def reconstruct(
    generator: nn.Module,
    scan: Scan,
    device: str,
    *,
    image: int = 0,
    batch_size: int = BATCH,
    precision: Literal["float32", "bf16"] = "float32",
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.complex128]:
    """The stitched image of a scan, (rows * stride, columns * stride), normalised units.

    Of every patch only what stitching keeps is computed, as far as the network allows, and written straight into the
    image. Memory: the image, one batch, and what the scan holds (patterns that are mapped from a file are read as they
    are needed). The generator ends on the CPU.

    Args:
        generator: for patterns of this size.
        scan: its windows must be a raster.
        device: cpu or cuda.
        image: which object of the scan.
        batch_size: patterns at a time.
        precision: bf16 runs the convolutions in bfloat16.
        progress: is told after every batch how many patterns are done, and of how many.

    Raises:
        InputError: the windows cannot be stitched.
    """
    stitcher = Stitcher(scan, image)
    generator = generator.to(device).eval()
    network = merge_branches(generator) if device == "cpu" else generator
    patterns = scan.amplitude_nCNN[stitcher.patterns]
    for first in range(0, len(patterns), batch_size):
        batch = np.ascontiguousarray(patterns[first : first + batch_size], np.float32)
        amplitude_BCNN = torch.from_numpy(batch).to(device)
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            patches_BCkk = predict_central(network, amplitude_BCNN, stitcher.kept)
        stitcher.put(first, patches_BCkk.cpu().numpy())
        if progress is not None:
            progress(first + len(batch), len(patterns))
    generator.cpu()
    return stitcher.image
