"""A simulated data set: a train and a test scan, and the key of the settings that made them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..config import BUILT_IN_PROBES, DataConfig, probe_digest
from ..scan import Scan, ScanGrid, Truth
from .diffraction import diffraction_amplitudes
from .normalisation import intensity_scale, object_norm
from .objects import object_amplitudes
from .phase import phase_of
from .photon_noise import photon_counter
from .probes import simulation_probe
from .scan_grid import patch_corners, scan_grid
from .streams import Split, geometry_stream, recorded_seeds

_RECIPE = 1
"""Raised whenever the same settings come to make other data."""
_HOLD_OUT = {"train_patterns", "val_fraction", "val_guard_rows", "split_seed"}
"""Settings that choose among the patterns of a data set but do not make them."""


@dataclass(frozen=True)
class Dataset:
    """A train and a test scan of different objects with one probe and one intensity scale."""

    train: Scan
    test: Scan
    key: str
    """`dataset_key` of the settings."""


def dataset_key(data: DataConfig) -> str:
    """16 hex digits of the settings that make a data set and the versions of the libraries that compute it.

    A probe file counts by its content.

    Raises:
        InputError: the probe file cannot be read.
    """
    text = json.dumps({"recipe": _RECIPE, "settings": _settings(data), "versions": _versions()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def simulate(data: DataConfig) -> tuple[Scan, Scan]:
    """Simulate the train and the test scan.

    Raises:
        InputError: settings that do not fit together, or a probe file that cannot be used.
    """
    data.check(val_source="test")
    probe_NN, probe_norm = simulation_probe(data)
    train, test = _Objects.simulated(data, "train"), _Objects.simulated(data, "test")
    # The test scan is taken with the train scan's scale: the same beam and exposure light both.
    scale = intensity_scale(
        train.amplitude_ISS / train.norm_Y,
        probe_NN.astype(np.complex128),
        train.grid,
        data.gridsize,
        data.nphotons,
    )
    return (
        _scan(data, "train", train, probe_NN, probe_norm, scale),
        _scan(data, "test", test, probe_NN, probe_norm, scale),
    )


@dataclass(frozen=True)
class _Objects:
    amplitude_ISS: NDArray[np.float64]
    objects_ISS: NDArray[np.complex128]
    grid: ScanGrid
    norm_Y: float

    @classmethod
    def simulated(cls, data: DataConfig, split: Split) -> _Objects:
        grid = scan_grid(data, split)
        uniform = geometry_stream(data.geometry_seed, split)
        amplitude_ISS = object_amplitudes(data.object, data.size, grid.images, uniform)
        phase_ISS = phase_of(amplitude_ISS) if data.set_phi else np.zeros_like(amplitude_ISS)
        objects_ISS = (amplitude_ISS * np.exp(1j * phase_ISS)).astype(np.complex128)
        return cls(amplitude_ISS, objects_ISS, grid, object_norm(amplitude_ISS, data.N, grid, data.gridsize))


def _scan(
    data: DataConfig, split: Split, objects: _Objects, probe_NN: NDArray[np.complex64], probe_norm: float, scale: float
) -> Scan:
    return Scan(
        amplitude_nCNN=diffraction_amplitudes(
            objects.objects_ISS / objects.norm_Y,
            probe_NN.astype(np.complex128),
            objects.grid,
            data.gridsize,
            scale,
            photon_counter(data, split),
        ),
        corners_nC2=patch_corners(objects.grid, data.gridsize),
        grid=objects.grid,
        probe_PNN=probe_NN[None],
        probe_norm=probe_norm,
        intensity_scale=scale,
        truth=Truth(objects.objects_ISS.astype(np.complex64), objects.norm_Y, has_phase=data.set_phi),
        provenance={
            "source": "simulation",
            "split": split,
            "recipe": _RECIPE,
            "settings": _settings(data),
            "seeds": recorded_seeds(data, split),
            "versions": _versions(),
            "norm_Y": objects.norm_Y,
            "intensity_scale": scale,
        },
    )


def _settings(data: DataConfig) -> dict[str, Any]:
    settings = data.model_dump(exclude=_HOLD_OUT)
    if data.probe not in BUILT_IN_PROBES:
        settings["probe"] = f"sha256:{probe_digest(data.probe)}"
    return settings


def _versions() -> dict[str, str]:
    libraries = {name: metadata.version(name) for name in ("numpy", "scipy", "scikit-image")}
    return {"ptycho_mlf": __version__, **libraries}
