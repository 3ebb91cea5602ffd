"""The coordinate check as a run: the first steps of networks of several widths and depths, and what passes them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from ptycho_mlf.config import InputError, ModelConfig, RunConfig
from ptycho_mlf.config.model import SHALLOWEST_RESNET
from ptycho_mlf.config.telemetry import TelemetryConfig
from ptycho_mlf.drawing import save_png
from ptycho_mlf.telemetry.coordinate_check import Changes, Scaling, scalings, track_changes
from ptycho_mlf.telemetry.coordinate_figures import coordinate_figure, propagation_figure
from ptycho_mlf.telemetry.signal_propagation import Signal, outline, propagate
from ptycho_mlf.tracking.run_record import RunRecord
from ptycho_mlf.tracking.store import connect
from ptycho_mlf.training.fixed_batch import FixedBatch
from ptycho_mlf.training.threads import cpu_threads

from .comparison import table_console
from .dataset import RunData, load_run_data
from .json_files import write_json

SMALL: Mapping[str, Any] = {"N": 32, "modes": 8, "batch_size": 8}
"""Defaults of this command where they differ from those of a training."""
_REPLACED = {"width": "widths", "fno_blocks": "depths"}
_UNUSED = frozenset({"epochs", "precision", "schedule_in_force", "score", "seed_scope", *TelemetryConfig.model_fields})
_SCHEDULE = ("scheduler", "lr_", "plateau_")

Signals = list[Signal]


@dataclass(frozen=True)
class CoordinateRequest:
    """What is asked for."""

    overrides: Mapping[str, str]
    """Configuration parameters."""
    widths: str = "8,16,32"
    depths: str = "auto"
    """`auto`: two small ones; for a network without `fno_blocks` the one it has."""
    steps: int = 4
    seeds: int = 3


@dataclass(frozen=True)
class _Depth:
    """All networks of one depth."""

    outline: list[str]
    scalings: list[Scaling]
    signals: dict[int, list[Signals]]
    """Width to what each seed's network passes on."""


def check_coordinates(request: CoordinateRequest) -> str:
    """Check, record the run and print the table of slopes.

    Returns:
        The run's id.

    Raises:
        InputError: anything asked for that does not fit; no run is left behind by a direct call.
    """
    widths, depths = _rising("widths", request.widths, 2), _depths(request)
    base = _base(request.overrides, widths[0], depths[0])
    seeds = [base.training.seed + k for k in range(request.seeds)]
    # Every network is refused before the first is trained.
    configs = {
        (d, w, s): base.with_changes(fno_blocks=d, width=w, seed=s) for d in depths for w in widths for s in seeds
    }
    data = load_run_data(base)
    connect()
    own = {"widths": request.widths, "depths": request.depths, "steps": request.steps, "seeds": request.seeds}
    params = {name: value for name, value in base.flat().items() if name not in _REPLACED and not _unused(name)}
    name = f"coordinate_check-{base.model.architecture}-{base.training.optimizer}-lr{base.training.learning_rate:g}"
    tags = {"kind": "coordinate_check", "dataset_hash": data.hash}
    with (
        cpu_threads(base.execution.threads),
        RunRecord.open(name=name, tags=tags, params=own | params) as record,
        tempfile.TemporaryDirectory(prefix="ptycho_mlf-") as scratch,
    ):
        found: dict[int, _Depth] = {}
        for d in depths:
            trials = {(s, w): _trial(configs[d, w, s], data, request.steps) for s in seeds for w in widths}
            changes = [[trials[s, w][2] for w in widths] for s in seeds]
            signals = {w: [trials[s, w][1] for s in seeds] for w in widths}
            found[d] = _Depth(trials[seeds[0], widths[0]][0], scalings(widths, changes), signals)
        folder = Path(scratch)
        head = own | {"widths": widths, "depths": depths, "seeds": seeds, "parameters": params}
        write_json(folder / "coordinate_check.json", head | {"places": _scaling_rows(found, widths)})
        write_json(folder / "signal_propagation.json", head | {"places": _signal_rows(found)})
        _write_figures(folder, found, widths, request.steps)
        summary = _summary(found, widths, base, request)
        (folder / "summary.md").write_text(summary)
        record.set_tags({"mlflow.note.content": summary})
        record.log_folder(folder)
    console = table_console()
    console.print(_table(found))
    console.print(f"{_MEANING}\nrun {record.run_id}: coordinate_check.png, signal_propagation.png", soft_wrap=True)
    return record.run_id


def _trial(config: RunConfig, data: RunData, steps: int) -> tuple[list[str], Signals, Changes]:
    trial = FixedBatch(config, data.train, data.holdout.train)
    signals = propagate(trial.model, trial.batch, trial.loss)
    return outline(trial.model), signals, track_changes(trial.model, trial.batch, trial.step, steps)


def _base(overrides: Mapping[str, str], width: int, depth: int) -> RunConfig:
    for name, value in overrides.items():
        if name in _REPLACED:
            raise InputError(f"{name}={value}: say {_REPLACED[name]} here")
        if _unused(name):
            raise InputError(f"{name}={value}: nothing uses it here; the steps are at a constant learning rate")
    architecture = RunConfig.from_flat({k: v for k, v in overrides.items() if k == "architecture"}).model
    small = {k: v for k, v in SMALL.items() if k not in ModelConfig.model_fields or k in architecture.used()}
    return RunConfig.from_flat({**small, **overrides, "width": width, "fno_blocks": depth})


def _depths(request: CoordinateRequest) -> list[int]:
    if request.depths != "auto":
        return _rising("depths", request.depths, 1)
    match request.overrides.get("architecture"):
        case "cnn":
            return [ModelConfig().fno_blocks]
        case "hybrid_resnet":
            return [SHALLOWEST_RESNET, SHALLOWEST_RESNET + 1]
        case _:
            return [2, 3]


def _unused(name: str) -> bool:
    return name in _UNUSED or name.startswith(_SCHEDULE)


def _rising(name: str, text: str, least: int) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{name}={text}: must be whole numbers, separated by commas") from None
    if len(numbers) < least:
        raise InputError(f"{name}={text}: needs at least {least} numbers")
    if numbers[0] < 1 or any(b <= a for a, b in pairwise(numbers)):
        raise InputError(f"{name}={text}: must be positive and increase")
    return numbers


def _scaling_rows(found: Mapping[int, _Depth], widths: list[int]) -> list[dict[str, Any]]:
    return [
        {
            "depth": d,
            "place": place.place,
            "slope": place.slope,
            "slope_spread": place.slope_spread,
            "change": [
                {"width": w, "seeds": [[_number(x) for x in row] for row in place.change_SWT[:, at]]}
                for at, w in enumerate(widths)
            ],
        }
        for d, of_depth in found.items()
        for place in of_depth.scalings
    ]


def _signal_rows(found: Mapping[int, _Depth]) -> list[dict[str, Any]]:
    return [
        {
            "depth": d,
            "width": w,
            "place": first.place,
            "kind": first.kind,
            "forward_rms": [_number(seed[at].forward_rms) for seed in seeds],
            "backward_norm": [_number(seed[at].backward_norm) for seed in seeds],
        }
        for d, of_depth in found.items()
        for w, seeds in of_depth.signals.items()
        for at, first in enumerate(seeds[0])
    ]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _write_figures(folder: Path, found: Mapping[int, _Depth], widths: list[int], steps: int) -> None:
    shown = {d: _outlined(of_depth) for d, of_depth in found.items()}
    save_png(coordinate_figure(shown, widths, steps), folder / "coordinate_check.png")
    signals: dict[int, dict[int, dict[str, NDArray[np.float64]]]] = {
        d: {
            w: {
                signal.place: np.array([[seed[at].forward_rms, seed[at].backward_norm] for seed in seeds])
                for at, signal in enumerate(seeds[0])
                if _base_place(signal.place) in of_depth.outline
            }
            for w, seeds in of_depth.signals.items()
        }
        for d, of_depth in found.items()
    }
    save_png(propagation_figure(signals), folder / "signal_propagation.png")


def _outlined(of_depth: _Depth) -> list[Scaling]:
    return [place for place in of_depth.scalings if _base_place(place.place) in of_depth.outline]


def _base_place(place: str) -> str:
    return place.partition("#")[0]


_MEANING = (
    "slope: d log(change of the output) / d log(width). Near 0 the learning rate carries over to other widths; "
    "above 0 wider networks need a smaller one."
)


def _rows(found: Mapping[int, _Depth]) -> list[list[str]]:
    slopes = {d: {p.place: _slope_text(p) for p in _outlined(of_depth)} for d, of_depth in found.items()}
    deepest = slopes[max(slopes)]
    return [[place, *(of_depth.get(place, "") for of_depth in slopes.values())] for place in deepest]


def _slope_text(place: Scaling) -> str:
    if place.slope is None:
        return "none"
    return f"{place.slope:+.2f}" + ("" if place.slope_spread is None else f" ± {place.slope_spread:.2f}")


def _table(found: Mapping[int, _Depth]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("place")
    for d in found:
        table.add_column(f"slope, depth {d}", justify="right")
    for row in _rows(found):
        table.add_row(*row)
    return table


def _summary(found: Mapping[int, _Depth], widths: list[int], base: RunConfig, request: CoordinateRequest) -> str:
    heads = ["place", *(f"slope, depth {d}" for d in found)]
    lines = [
        f"# Coordinate check of {base.model.architecture}\n",
        f"Widths {', '.join(map(str, widths))}; {request.steps} steps of {base.training.optimizer} at "
        f"{base.training.learning_rate:g} on one batch of {base.training.batch_size}; {request.seeds} seeds (mean ± "
        f"standard deviation).\n",
        f"{_MEANING}\n",
        f"| {' | '.join(heads)} |",
        "|---" * len(heads) + "|",
        *(f"| {' | '.join(row)} |" for row in _rows(found)),
    ]
    return "\n".join(lines) + "\n"
