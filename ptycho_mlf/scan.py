"""`Scan`: diffraction amplitudes with what is known about them. The one currency of the house.

Shapes: n patterns, C channels (gridsize^2), N patch side, P probe modes, I objects, S object side. Lengths in px.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HASHED_AT_ONCE = 1024
"""Patterns that are copied at a time, where they do not lie in memory one after the other."""


@dataclass(frozen=True)
class ScanGrid:
    """A raster scan: every object has rows x columns windows, image-major, then row-major."""

    images: int
    rows: int
    columns: int
    stride: int
    """Distance between neighbouring windows, px."""

    @property
    def patterns(self) -> int:
        """Windows of all objects."""
        return self.images * self.rows * self.columns


@dataclass(frozen=True)
class Truth:
    """The objects a scan was simulated from."""

    objects_ISS: NDArray[np.complex64]
    """Whole objects, amplitude * exp(i * phase), amplitude in object units."""
    norm_Y: float
    """Object units per normalised unit: mean over the patches of the largest amplitude in each."""
    has_phase: bool
    """False for real objects: every phase metric is then vacuous."""


@dataclass(frozen=True)
class Scan:
    """Diffraction amplitudes, where they were taken, with which probe, and the truth where it is known."""

    amplitude_nCNN: NDArray[np.float32]
    """Diffraction amplitude X in normalised units: sqrt(counts) / intensity_scale, zero frequency at N // 2."""
    corners_nC2: NDArray[np.int32]
    """(row, column) of the first pixel of every patch in its object."""
    grid: ScanGrid
    probe_PNN: NDArray[np.complex64]
    """The very probe that made the data, P_sim."""
    probe_norm: float
    """P_sim over the un-normalised probe."""
    intensity_scale: float
    """s: sqrt(photon) per unit of amplitude."""
    truth: Truth | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """How it came about: settings, seeds, library versions. JSON values only."""

    def __post_init__(self) -> None:
        n, C, N, M = self.amplitude_nCNN.shape
        problems = {
            "patterns must be square": N != M,
            "one corner per patch": self.corners_nC2.shape != (n, C, 2),
            "the grid must have one window per pattern": self.grid.patterns != n,
            "the probe must have shape (P, N, N)": self.probe_PNN.ndim != 3 or self.probe_PNN.shape[1:] != (N, N),
        }
        for rule, broken in problems.items():
            if broken:
                raise ValueError(f"scan: {rule}")

    @property
    def N(self) -> int:
        """Side of a pattern, px."""
        return self.amplitude_nCNN.shape[-1]

    @property
    def channels(self) -> int:
        """C, patches per pattern group."""
        return self.amplitude_nCNN.shape[1]

    @property
    def centres_nC2(self) -> NDArray[np.float64]:
        """Patch centres (row, column), px."""
        return self.corners_nC2.astype(np.float64) + (self.N - 1) / 2

    @property
    def offsets_C2(self) -> NDArray[np.int32]:
        """Corner of every channel relative to the first channel of its group, px."""
        return self.corners_nC2[0] - self.corners_nC2[0, :1]

    def truth_patches(self, index: NDArray[np.integer[Any]] | slice) -> NDArray[np.complex64]:
        """True object patches of some patterns, (len, C, N, N), in normalised units.

        Raises:
            ValueError: the scan has no truth.
        """
        if self.truth is None:
            raise ValueError("scan: the true object is not known")
        image_n = np.repeat(np.arange(self.grid.images), self.grid.rows * self.grid.columns)[index]
        windows = np.lib.stride_tricks.sliding_window_view(self.truth.objects_ISS, (self.N, self.N), axis=(1, 2))
        corners = self.corners_nC2[index]
        patches = windows[image_n[:, None], corners[..., 0], corners[..., 1]]
        return patches / np.float32(self.truth.norm_Y)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over patterns, positions and probe."""
        digest = hashlib.sha256()
        for array in (self.amplitude_nCNN, self.corners_nC2, self.probe_PNN):
            digest.update(str((array.shape, array.dtype.str)).encode())
            for start in range(0, len(array), _HASHED_AT_ONCE):
                digest.update(np.ascontiguousarray(array[start : start + _HASHED_AT_ONCE]).data)
        return digest.hexdigest()
