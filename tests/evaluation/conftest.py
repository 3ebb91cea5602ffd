"""Small scans of a random texture, laid out by hand."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ptycho_mlf.scan import Scan, ScanGrid, Truth

NORM_Y = 4.0
"""A power of two, so that dividing by it and multiplying again changes no bit."""


def texture(side: int, seed: int = 0, images: int = 1, has_phase: bool = True) -> np.ndarray:
    """Objects (I, S, S) with amplitude about 2 .. 4 and phase about -0.5 .. 0.5 rad, detail of a few px."""
    random = np.random.default_rng(seed)
    fine = gaussian_filter(random.standard_normal((images, side, side)), (0, 2, 2))
    coarse = gaussian_filter(random.standard_normal((images, side, side)), (0, 6, 6))
    pattern = fine / fine.std() + coarse / coarse.std()
    return ((3 + 0.4 * pattern) * np.exp(1j * 0.15 * pattern * has_phase)).astype(np.complex64)


@pytest.fixture
def make_scan() -> Callable[..., Scan]:
    """A scan of `rows` x `columns` windows at `stride` px with truth, of an object with a few px to spare."""

    def make(N=16, gridsize=1, stride=6, rows=7, columns=7, images=1, spare=3, seed=0, has_phase=True) -> Scan:
        reach = N + 4 * (gridsize - 1) + stride * (max(rows, columns) - 1) + spare
        corners_n2 = np.tile(stride * np.argwhere(np.ones((rows, columns))), (images, 1))
        corners_nC2 = corners_n2[:, None] + 4 * np.argwhere(np.ones((gridsize, gridsize)))
        return Scan(
            amplitude_nCNN=np.broadcast_to(np.float32(0), (len(corners_nC2), gridsize**2, N, N)),
            corners_nC2=corners_nC2.astype(np.int32),
            grid=ScanGrid(images, rows, columns, stride),
            probe_PNN=np.ones((1, N, N), np.complex64),
            probe_norm=1.0,
            intensity_scale=1.0,
            truth=Truth(texture(reach, seed, images, has_phase), NORM_Y, has_phase),
        )

    return make


@pytest.fixture
def noisy() -> Callable[..., np.ndarray]:
    """True patches of a scan with complex noise, in normalised units."""

    def make(scan: Scan, sigma: float = 0.05, seed: int = 1) -> np.ndarray:
        true = scan.truth_patches(slice(None))
        random = np.random.default_rng(seed)
        noise = random.standard_normal(true.shape) + 1j * random.standard_normal(true.shape)
        return (true + sigma * noise).astype(np.complex64)

    return make
