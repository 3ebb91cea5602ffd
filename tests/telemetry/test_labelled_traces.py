"""The verdict engine against labels that people gave to stored trainings by looking at their curves and pictures.

`traces/labels.json` holds label and reason of trained runs and of their beginnings, `traces/trained.json.gz` what was
recorded of them, `traces/constructed.json.gz` edge cases made from one. `make_traces.py` made them.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from ptycho_mlf.telemetry.course import Course
from ptycho_mlf.telemetry.signals import References, Signals
from ptycho_mlf.telemetry.trace import Rows
from ptycho_mlf.telemetry.verdict import judge
from ptycho_mlf.telemetry.verdict_names import VerdictName

TRACES = Path(__file__).parent / "traces"


def stored(name: str) -> dict[str, Any]:
    return json.loads(gzip.decompress((TRACES / name).read_bytes()))


LABELS: dict[str, dict[str, Any]] = json.loads((TRACES / "labels.json").read_text())
TRAINED, CONSTRUCTED = stored("trained.json.gz"), stored("constructed.json.gz")
CASES = {
    **{name: (TRAINED[label["run"]], label) for name, label in LABELS.items()},
    **{name: (document, {**document, "epochs": None}) for name, document in CONSTRUCTED.items()},
}


def course(document: dict[str, Any], epochs: int | None = None) -> Course:
    seen = [
        Signals(
            row["step"],
            row["val_loss"],
            row["contrast_spatial"],
            row["contrast_cross_pattern"],
            row["contrast_phase"],
            row["head_saturation"],
            row["dead_channels"],
        )
        for row in document["epochs"][:epochs]
    ]
    steps = seen[-1].step if epochs is not None else len(document["trace"]["loss"])
    rows = Rows({name: np.array(values[:steps]) for name, values in document["trace"].items()})
    if (seen and len(rows) > seen[-1].step) or (not seen and document["last"] and not document.get("oom")):
        seen.append(signals(document["last"], len(rows)))
    references = References(**document["references"])
    return Course(rows, signals(document["initial"], 0), seen, references, document["loss"] == "mae")


def signals(validation: dict[str, Any], step: int) -> Signals:
    contrast = validation["contrast"]
    return Signals(
        step,
        validation["loss"],
        contrast["spatial"],
        contrast["cross_pattern"],
        validation["phase_contrast"],
        validation["head_saturation"],
        validation["dead_channels"],
    )


def judged(name: str):
    document, label = CASES[name]
    return judge(course(document, label["epochs"]), out_of_memory=bool(document.get("oom")))


def test_the_collection_is_large_real_and_complete():
    assert len(CASES) >= 60
    assert len({label["run"] for label in LABELS.values()}) >= 25
    assert {label["label"] for _, label in CASES.values()} == set(get_args(VerdictName))
    assert all(label["reason"] for _, label in CASES.values())


def test_the_engine_agrees_with_the_labels():
    wrong = {
        name: (found, label["label"])
        for name, (_, label) in CASES.items()
        if (found := judged(name).name) != label["label"]
    }
    assert len(wrong) <= 0.02 * len(CASES), wrong


@pytest.mark.parametrize("name", [name for name, (_, label) in CASES.items() if label.get("onset")])
def test_the_onset_is_where_the_curves_show_it(name: str):
    low, high = CASES[name][1]["onset"]
    found = judged(name).onset_step
    assert found is not None
    assert low <= found <= high
