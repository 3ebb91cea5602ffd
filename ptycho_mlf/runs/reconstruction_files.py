"""What a reconstruction leaves behind: the object, a picture, scores, and where it comes from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_mlf.config import InputError
from ptycho_mlf.drawing import save_png
from ptycho_mlf.evaluation.evaluate import Evaluation
from ptycho_mlf.evaluation.figures import comparison_figure, frc_figure
from ptycho_mlf.evaluation.ground_truth import ground_truth
from ptycho_mlf.evaluation.object_figure import object_figure
from ptycho_mlf.evaluation.tiles import centre_tile, window_corners
from ptycho_mlf.scan import Scan

from .json_files import finite, write_json
from .scoring import scores_json


@dataclass(frozen=True)
class Reconstruction:
    """What was made of a scan."""

    object_HW: NDArray[np.complex128]
    """Normalised units."""
    scan: Scan
    label: str
    """Whose weights: best, last, model or checkpoint."""
    evaluation: Evaluation | None
    """None where the truth is not known."""
    source: Mapping[str, Any]
    """For reconstruction.json."""


def picture_name(made: Reconstruction) -> str:
    """The file to look at first."""
    return "object.png" if made.evaluation is None else "compare.png"


def write_reconstruction(made: Reconstruction, folder: Path) -> None:
    """object.npz, reconstruction.json and object.png; with a truth metrics.json, compare.png and frc.png instead."""
    folder.mkdir()
    scan, truth = made.scan, made.scan.truth
    arrays = {"object": made.object_HW.astype(np.complex64)}
    if truth is not None:
        arrays |= {"truth": ground_truth(scan).astype(np.complex64), "norm_Y": np.float64(truth.norm_Y)}
    corner = window_corners(scan)[0] + centre_tile(scan).start
    with (folder / "object.npz").open("wb") as file:
        np.savez(file, allow_pickle=False, corner=corner, **arrays)
    write_json(folder / "reconstruction.json", finite(made.source))
    if made.evaluation is None:
        save_png(object_figure(made.object_HW, f"{made.label} weights, {made.source['input']}"), folder / "object.png")
        return
    scored = {made.label: made.evaluation}
    write_json(folder / "metrics.json", scores_json(scored))
    save_png(comparison_figure(scored), folder / "compare.png")
    save_png(frc_figure(scored), folder / "frc.png")


def check_writable(folder: Path) -> None:
    """Before anything is computed.

    Raises:
        InputError: the folder is a file, or cannot be made or written.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"output={folder}: cannot be written ({there} is no writable folder)")


def publish(ready: Path, folder: Path) -> None:
    """Put complete files into a folder, each by one rename; other files that lie there are left alone.

    Raises:
        InputError: the folder cannot be written, or the disk is full; no file is left half-written.
    """
    partial = folder / f".partial-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copytree(ready, partial)
            for file in partial.iterdir():
                file.replace(folder / file.name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise InputError(f"output={folder}: cannot be written ({error.strerror or error})") from None
