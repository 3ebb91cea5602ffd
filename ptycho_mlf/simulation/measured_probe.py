"""A measured probe: read from a file, smoothed, padded."""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.restoration import unwrap_phase

from ..config import InputError
from ..launch import user_path

_SMALLEST = 1e-30
"""Smallest usable maximum of a probe, and one over the largest."""
_KEY = "probeGuess"


def measured_probe(path: str, N: int, smoothing: float) -> NDArray[np.complex128]:
    """The probe of a file, (N, N), smoothed, rounded to complex64, then zero-padded around its centre.

    A Gaussian of sigma `smoothing` px goes separately over the amplitude and the unwrapped phase.

    Raises:
        InputError: the file is not a probe, or larger than N.
    """
    raw = read_probe(path)
    side = len(raw)
    if side > N:
        raise InputError(f"probe={path}: it has {side} x {side} px; it must not be larger than N={N}")
    amplitude = ndimage.gaussian_filter(np.abs(raw), smoothing, mode="reflect")
    phase = ndimage.gaussian_filter(unwrap_phase(np.angle(raw), rng=0), smoothing, mode="reflect")
    smooth = (amplitude * np.exp(1j * phase)).astype(np.complex64)
    before = N // 2 - side // 2
    return np.pad(smooth.astype(np.complex128), (before, N - side - before))


def read_probe(path: str) -> NDArray[np.complex128]:
    """The complex square array of an npy file, or of an npz file that has just one or names it probeGuess.

    Raises:
        InputError: no readable file, pickled objects, no or several complex arrays, wrong shape, values that are
            not finite, or only zeros.
    """
    probe = _complex_array(path)
    if probe.ndim != 2 or probe.shape[0] != probe.shape[1]:
        raise InputError(f"probe={path}: its shape is {probe.shape}; it must be square, (N, N)")
    if not np.isfinite(probe).all():
        raise InputError(f"probe={path}: it holds NaN or infinite values")
    if not probe.any():
        raise InputError(f"probe={path}: all its values are zero")
    largest = float(np.abs(probe).max())
    if not _SMALLEST < largest < 1 / _SMALLEST:
        raise InputError(f"probe={path}: its largest value is {largest:.3g}; single precision needs 1e-30 to 1e30")
    return probe.astype(np.complex128)


def _complex_array(path: str) -> NDArray[Any]:
    try:
        loaded = np.load(io.BytesIO(user_path(path).read_bytes()), allow_pickle=False)
        arrays = {_KEY: loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except OSError as error:
        raise InputError(f"probe={path}: not a built-in probe, and no readable file ({error.strerror})") from None
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        raise InputError(f"probe={path}: not an npz or npy file of plain arrays (no pickles)") from None
    found = {name: array for name, array in arrays.items() if np.iscomplexobj(array)}
    if _KEY in found:
        return found[_KEY]
    if len(found) != 1:
        held = ", ".join(f"{name} {array.dtype}" for name, array in arrays.items()) or "nothing"
        raise InputError(f"probe={path}: it must hold one complex array, or one named {_KEY}; it holds {held}")
    return next(iter(found.values()))
