"""A scan from an npz file of the earlier study's schema: patterns, positions, and the true objects where it has them.

Shapes: n patterns, C channels, N patch side, I objects, S object side. Lengths in px.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from ptycho_mlf.config import InputError
from ptycho_mlf.scan import Scan, ScanGrid, Truth

_PATTERNS, _CENTRES, _OBJECTS = "diffraction", "coords_offsets", "YY_full"
_BLOCK = 1024
"""Patterns looked at at a time."""
_LOCAL_HEADER = struct.Struct("<26xHH")
"""Of a zip member: what comes before the lengths of its name and of the extra field."""


def read_scan(path: Path) -> Scan:
    """The scan of a file with `diffraction` (n, N, N, C), amplitudes X in normalised units, and `coords_offsets`
    (n, 1, 2, C), patch centres (row, column).

    The patterns of an uncompressed file are mapped, not read: only what is in use takes memory. With `YY_full`
    (I, S, S, 1), the complex objects, the truth is known. Whatever else the file holds is left alone, and nothing
    pickled is executed. What it does not tell and a reconstruction does not need (probe, intensity scale) is 1.

    Raises:
        InputError: a file that cannot be read, lacks a key, or whose positions are no raster.
    """
    try:
        patterns_nNNC, others = _arrays(path)
    except OSError as error:
        raise InputError(f"input={path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, EOFError, struct.error, zipfile.BadZipFile) as error:
        raise InputError(f"input={path}: no npz file of numbers ({error})") from None
    n, N, columns, C = patterns_nNNC.shape if patterns_nNNC.ndim == 4 else (0, 0, 0, 0)
    if not n or columns != N or not patterns_nNNC.size:
        raise InputError(f"input={path}: {_PATTERNS} has shape {patterns_nNNC.shape}, must be (n, N, N, C)")
    if patterns_nNNC.dtype.kind != "f":
        raise InputError(f"input={path}: {_PATTERNS} must be real numbers (dtype {patterns_nNNC.dtype})")
    if not all(np.isfinite(patterns_nNNC[i : i + _BLOCK]).all() for i in range(0, n, _BLOCK)):
        raise InputError(f"input={path}: {_PATTERNS} must be finite")
    corners_nC2 = _corners(path, others[_CENTRES], (n, 1, 2, C), N)
    grid = _grid(path, corners_nC2)
    return Scan(
        amplitude_nCNN=patterns_nNNC.transpose(0, 3, 1, 2),
        corners_nC2=corners_nC2,
        grid=grid,
        probe_PNN=np.ones((1, N, N), np.complex64),
        probe_norm=1.0,
        intensity_scale=1.0,
        truth=_truth(path, others[_OBJECTS], corners_nC2, grid, N) if _OBJECTS in others else None,
        provenance={"source": str(path)},
    )


def _arrays(path: Path) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """The patterns, and what else is needed of the file."""
    with path.open("rb") as file, NpzFile(file, allow_pickle=False) as stored:
        names = list(stored)
        missing = [key for key in (_PATTERNS, _CENTRES) if key not in names]
        if missing:
            keys = ", ".join(names[:8]) or "none"
            raise InputError(f"input={path}: no npz file with the key {missing[0]!r} (keys: {keys})")
        others = {key: stored[key] for key in (_CENTRES, _OBJECTS) if key in names}
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{_PATTERNS}.npy")
        if member.compress_type == zipfile.ZIP_STORED:
            return _mapped(path, member), others
        return stored[_PATTERNS], others


def _mapped(path: Path, member: zipfile.ZipInfo) -> NDArray[Any]:
    """An uncompressed array of the file, copy-on-write: torch warns of read-only arrays."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        file.seek(name + extra, 1)
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(file)]
        shape, fortran, dtype = read_header(file)
        if dtype.hasobject:
            raise ValueError("an array of Python objects")
        order = "F" if fortran else "C"
        return np.memmap(path, dtype, "c", file.tell(), shape, order).view(np.ndarray)


def _corners(path: Path, centres: NDArray[Any], shape: tuple[int, ...], N: int) -> NDArray[np.int32]:
    """Corners (n, C, 2) of patches with these centres."""
    if centres.shape != shape or centres.dtype.kind not in "fiu":
        raise InputError(f"input={path}: {_CENTRES} has shape {centres.shape}, must be {shape} of real numbers")
    corners_nC2 = centres[:, 0].transpose(0, 2, 1).astype(np.float64) - (N - 1) / 2
    whole = np.rint(corners_nC2)
    if not np.isfinite(corners_nC2).all() or np.abs(corners_nC2 - whole).max() > 1e-2:
        raise InputError(f"input={path}: {_CENTRES} must lie on the pixel grid, half a px off for an even N={N}")
    return whole.astype(np.int32)


def _grid(path: Path, corners_nC2: NDArray[np.int32]) -> ScanGrid:
    """Rows, columns and stride that the positions would have if they were a raster; stitching checks that they are."""
    windows_n2 = corners_nC2.min(axis=1)
    rows, columns = (np.unique(windows_n2[:, axis]) for axis in (0, 1))
    steps = {int(step) for axis in (rows, columns) for step in np.diff(axis)}
    images, left = divmod(len(windows_n2), len(rows) * len(columns))
    if len(steps) != 1 or left:
        raise InputError(
            f"input={path}: {_CENTRES} must be a raster with one stride to be stitched "
            f"({len(windows_n2)} patterns on {len(rows)} rows and {len(columns)} columns)"
        )
    return ScanGrid(images, len(rows), len(columns), steps.pop())


def _truth(path: Path, objects: NDArray[Any], corners_nC2: NDArray[np.int32], grid: ScanGrid, N: int) -> Truth:
    S = objects.shape[1] if objects.ndim == 4 else 0
    if objects.shape != (grid.images, S, S, 1) or corners_nC2.min() < 0 or corners_nC2.max() + N > S:
        raise InputError(
            f"input={path}: {_OBJECTS} has shape {objects.shape}, must be ({grid.images}, S, S, 1) and hold every patch"
        )
    if objects.dtype.kind not in "fc" or not np.isfinite(objects).all():
        raise InputError(f"input={path}: {_OBJECTS} must be finite numbers (dtype {objects.dtype})")
    objects_ISS = np.ascontiguousarray(objects[..., 0], np.complex64)
    # Element (r, c) is the largest amplitude of the patch whose corner is there.
    maxima_ISS = np.stack([maximum_filter(np.abs(object_SS), N, origin=-(N // 2)) for object_SS in objects_ISS])
    image_n = np.repeat(np.arange(grid.images), grid.rows * grid.columns)
    norm_Y = float(maxima_ISS[image_n[:, None], corners_nC2[..., 0], corners_nC2[..., 1]].mean(dtype=np.float64))
    if norm_Y <= 0:
        raise InputError(f"input={path}: {_OBJECTS} is zero wherever there are patches")
    return Truth(objects_ISS, norm_Y, has_phase=bool((np.angle(objects_ISS) != 0).any()))
