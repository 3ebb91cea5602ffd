"""A generator applied to every pattern of a scan."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ptycho_mlf.scan import Scan

_BATCH = 64


@torch.inference_mode()
def predict(generator: nn.Module, scan: Scan, device: str) -> NDArray[np.complex64]:
    """Object patches of all patterns, (n, C, N, N), normalised units. The generator ends on the CPU."""
    generator = generator.to(device).eval()
    patches = np.empty(scan.amplitude_nCNN.shape, np.complex64)
    for start in range(0, len(patches), _BATCH):
        part = slice(start, start + _BATCH)
        amplitude = torch.from_numpy(np.ascontiguousarray(scan.amplitude_nCNN[part])).to(device)
        patches[part] = generator(amplitude).cpu().numpy()
    generator.cpu()
    return patches
