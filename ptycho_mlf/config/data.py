"""Parameters of the simulated scan. They decide what the network sees, so they make the dataset hash."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from .errors import InputError
from .knob import Section, UsedIf, knob, when

BUILT_IN_PROBES = ("zone_plate", "disk")
GROUP_OFFSET = 4
"""Distance in px between the patches of a gridsize-2 group."""
SMALLEST_IMAGE = 11
"""Side of a stitched image, px: 2 px are trimmed on every side, and the window of SSIM takes 7."""
PROBE_SCALE = 4.0
"""1 / mean of the simulated probe's masked amplitude."""


def _whole(value: object) -> object:
    """Text to int where it is one: a choice among integers is not parsed otherwise."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


_PROBE_IS_FILE = UsedIf("probe is a file", lambda c: c["probe"] not in BUILT_IN_PROBES)
_HOLDOUT = when(val_source="holdout")


class DataConfig(Section):
    """Object, probe, scan grid, photon noise and hold-out of a simulated scan."""

    N: int = knob(64, "Side of a diffraction pattern and of an object patch.", unit="px", ge=16, le=512, multiple_of=2)
    gridsize: Annotated[Literal[1, 2], BeforeValidator(_whole)] = knob(
        1, "Patches per group and axis; a group has gridsize^2 channels."
    )
    object: Literal["lines", "disks"] = knob("lines", "Kind of simulated object.")
    size: int = knob(392, "Side of the simulated object.", unit="px", ge=32, le=8192, multiple_of=2)
    nimgs_train: int = knob(1, "Number of train objects.", ge=1, le=64)
    nimgs_test: int = knob(1, "Number of test objects.", ge=1, le=64)
    set_phi: bool = knob(True, "Give the object a phase; false makes it real and every phase metric vacuous.")
    nphotons: float = knob(
        1e9,
        "Photons per pattern.",
        unit="photon",
        gt=0,
        le=1e15,
        used_if=when(noise="poisson") | when(loss="poisson"),
    )
    noise: Literal["poisson", "none"] = knob("poisson", "Photon noise of the diffraction patterns.")
    probe: str = knob("zone_plate", "zone_plate, disk, or the path of an npz/npy file with one complex N x N array.")
    probe_smoothing: float = knob(
        0.5, "Gaussian sigma that smooths a measured probe.", unit="px", ge=0, le=16, used_if=_PROBE_IS_FILE
    )
    outer_offset_train: int = knob(8, "Twice the scan stride of train objects.", unit="px", ge=2, multiple_of=2)
    outer_offset_test: int = knob(20, "Twice the scan stride of test objects.", unit="px", ge=2, multiple_of=2)
    train_patterns: int = knob(0, "Train on a random subset of this many patterns; 0 = all.", ge=0)
    val_fraction: float = knob(
        0.1, "Share of the scan rows of every train object held out for validation.", gt=0, lt=1, used_if=_HOLDOUT
    )
    val_guard_rows: int = knob(
        0, "Scan rows dropped between train and validation rows.", unit="rows", ge=0, used_if=_HOLDOUT
    )
    geometry_seed: Literal["legacy"] | Annotated[int, Field(ge=0)] = knob(
        "legacy", "Seed of the objects' geometry; legacy = seeds 1 and 2 of the earlier study's generator."
    )
    noise_seed: int = knob(0, "Seed of the photon noise.", ge=0, used_if=when(noise="poisson"))
    split_seed: int = knob(
        0,
        "Seed of the random subset train_patterns.",
        ge=0,
        used_if=UsedIf("train_patterns>0", lambda c: c["train_patterns"] > 0),
    )

    @property
    def channels(self) -> int:
        """C = gridsize^2."""
        return self.gridsize**2

    @property
    def window(self) -> int:
        """Side of the scan window that holds one group, px."""
        return self.N + (self.gridsize - 1) * GROUP_OFFSET

    def stride(self, split: Literal["train", "test"]) -> int:
        """Scan stride, px."""
        return (self.outer_offset_train if split == "train" else self.outer_offset_test) // 2

    def rows(self, split: Literal["train", "test"]) -> int:
        """Scan windows along one axis of one object."""
        return (self.size - self.window) // self.stride(split) + 1

    @property
    def val_rows(self) -> int:
        """Held-out scan rows of every train object: at the end of its scan."""
        return math.ceil(self.val_fraction * self.rows("train") - 1e-9)

    def check(self, val_source: str) -> None:
        """Rules between the fields.

        Raises:
            InputError: the patch does not fit the object, or nothing is left to train on.
        """
        if self.window > self.size:
            raise InputError(f"N={self.N}: a scan window of {self.window} px must fit the object, size={self.size} px")
        if self.stride("test") > self.N:
            raise InputError(
                f"outer_offset_test={self.outer_offset_test}: the scan stride {self.stride('test')} px "
                f"must not exceed N={self.N}, or tiles cannot be stitched"
            )
        side = self.rows("test") * self.stride("test")
        if side < SMALLEST_IMAGE:
            raise InputError(
                f"outer_offset_test={self.outer_offset_test}: the stitched image has {side} px a side; "
                f"scores need {SMALLEST_IMAGE}"
            )
        rows = self.rows("train")
        held = self.val_rows + self.val_guard_rows if val_source == "holdout" else 0
        left = (rows - held) * rows * self.nimgs_train
        if rows - held < 1:
            raise InputError(
                f"val_fraction={self.val_fraction:g}, val_guard_rows={self.val_guard_rows}: "
                f"they take {held} of {rows} scan rows; at least one must be left for training"
            )
        if self.train_patterns > left:
            raise InputError(f"train_patterns={self.train_patterns}: only {left} patterns are left after the hold-out")
