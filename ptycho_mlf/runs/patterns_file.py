"""Diffraction amplitudes from an npz file of the earlier study's schema."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from ptycho_mlf.config import InputError

_KEY = "diffraction"


def read_patterns(path: Path) -> NDArray[np.float32]:
    """The patterns (n, C, N, N) of a file with `diffraction` (n, N, N, C): amplitudes X in normalised units.

    No other key is read, and nothing pickled is executed.

    Raises:
        InputError: a file that cannot be read, lacks the key, or holds anything else under it.
    """
    try:
        with path.open("rb") as file, NpzFile(file, allow_pickle=False) as arrays:
            names = list(arrays)
            patterns = arrays[_KEY] if _KEY in names else None
    except OSError as error:
        raise InputError(f"input={path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"input={path}: no npz file of numbers ({error})") from None
    if patterns is None:
        raise InputError(f"input={path}: no npz file with the key {_KEY!r} (keys: {', '.join(names[:8]) or 'none'})")
    shape = patterns.shape
    if patterns.ndim != 4 or shape[1] != shape[2] or 0 in shape:
        raise InputError(f"input={path}: {_KEY} has shape {shape}, must be (n, N, N, C)")
    if patterns.dtype.kind != "f" or not np.isfinite(patterns).all():
        raise InputError(f"input={path}: {_KEY} must be finite real numbers (dtype {patterns.dtype})")
    return np.ascontiguousarray(patterns.transpose(0, 3, 1, 2), np.float32)
