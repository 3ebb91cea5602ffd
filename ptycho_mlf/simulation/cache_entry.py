"""One entry of the dataset cache on disk: plain npy files, and a manifest with their sizes and digests.

Everything is checked when read, the manifest itself included.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from ..scan import Scan, ScanGrid, Truth
from .dataset import Dataset

MANIFEST = "manifest.json"


class DamagedError(Exception):
    """An entry that is not what was written; the message says how."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _File(_Model):
    bytes: int
    sha256: str


class _Rest(_Model):
    """What a simulated scan holds besides arrays."""

    grid: dict[str, int]
    probe_norm: float
    intensity_scale: float
    norm_Y: float
    has_phase: bool
    provenance: dict[str, Any]


class _Content(_Model):
    key: str
    files: dict[str, _File]
    train: _Rest
    test: _Rest

    def digest(self) -> str:
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class _Manifest(_Model):
    content: _Content
    sha256: str
    """Digest of the content."""


def save_entry(folder: Path, key: str, train: Scan, test: Scan) -> None:
    """Write two simulated scans into an empty folder."""
    rest = {"train": _save_scan(folder, "train", train), "test": _save_scan(folder, "test", test)}
    files = {p.name: _File(bytes=p.stat().st_size, sha256=_sha256(p)) for p in sorted(folder.glob("*.npy"))}
    content = _Content(key=key, files=files, **rest)
    manifest = _Manifest(content=content, sha256=content.digest())
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load_entry(folder: Path, key: str) -> Dataset:
    """Check an entry and map its arrays, copy-on-write.

    Raises:
        DamagedError: a file is missing, or not what was written.
    """
    try:
        manifest = _Manifest.model_validate_json((folder / MANIFEST).read_bytes())
        content = manifest.content
        if content.digest() != manifest.sha256 or content.key != key:
            raise DamagedError(f"{MANIFEST} was changed")
        for name, file in content.files.items():
            if (folder / name).stat().st_size != file.bytes or _sha256(folder / name) != file.sha256:
                raise DamagedError(f"{name} was changed")
        return Dataset(_load_scan(folder, "train", content.train), _load_scan(folder, "test", content.test), key)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DamagedError(f"{Path(error.filename).name} is missing") from None
    except ValidationError:
        raise DamagedError(f"{MANIFEST} cannot be read") from None


def _save_scan(folder: Path, split: Literal["train", "test"], scan: Scan) -> _Rest:
    if scan.truth is None:
        raise ValueError("only simulated scans, whose truth is known, are cached")
    arrays = {
        "amplitude": scan.amplitude_nCNN,
        "corners": scan.corners_nC2,
        "probe": scan.probe_PNN,
        "objects": scan.truth.objects_ISS,
    }
    for name, array in arrays.items():
        np.save(folder / f"{split}_{name}.npy", array, allow_pickle=False)
    return _Rest(
        grid=vars(scan.grid),
        probe_norm=scan.probe_norm,
        intensity_scale=scan.intensity_scale,
        norm_Y=scan.truth.norm_Y,
        has_phase=scan.truth.has_phase,
        provenance=dict(scan.provenance),
    )


def _load_scan(folder: Path, split: Literal["train", "test"], rest: _Rest) -> Scan:
    def array(name: str) -> Any:
        # Copy-on-write: a read-only map would make torch warn, and nothing ever reaches the file.
        return np.load(folder / f"{split}_{name}.npy", mmap_mode="c", allow_pickle=False).view(np.ndarray)

    return Scan(
        amplitude_nCNN=array("amplitude"),
        corners_nC2=array("corners"),
        grid=ScanGrid(**rest.grid),
        probe_PNN=array("probe"),
        probe_norm=rest.probe_norm,
        intensity_scale=rest.intensity_scale,
        truth=Truth(array("objects"), rest.norm_Y, rest.has_phase),
        provenance=rest.provenance,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
