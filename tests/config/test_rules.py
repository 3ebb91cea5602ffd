"""Wrong values are refused in one line that names the value and the rule."""

from __future__ import annotations

import numpy as np
import pytest

from ptycho_mlf.config import InputError, RunConfig

REFUSED = {
    "unknown": ({"learning_rat": "1e-3"}, "learning_rat=1e-3: no such parameter; did you mean learning_rate?"),
    "no number": ({"learning_rate": "abc"}, "learning_rate=abc: "),
    "nan": ({"learning_rate": "nan"}, "learning_rate=nan: input should be a finite number"),
    "infinite": ({"nphotons": "inf"}, "nphotons=inf: "),
    "zero rate": ({"learning_rate": "0"}, "learning_rate=0: input should be greater than 0"),
    "unknown choice": ({"optimizer": "lion"}, "optimizer=lion: input should be 'adam', 'adamw' or 'sgd'"),
    "odd side": ({"N": "63"}, "N=63: "),
    "no boolean": ({"set_phi": "perhaps"}, "set_phi=perhaps: "),
    "text or number": ({"lr_warmup_epochs": "soon"}, "lr_warmup_epochs=soon: must be auto or a whole number >= 0"),
    "fraction": ({"epochs": "2.5"}, "epochs=2.5: "),
    "several": ({"N": "63", "size": "no"}, "(and 1 more)"),
    "unused by optimizer": (
        {"optimizer": "sgd", "beta1": "0.8"},
        "beta1=0.8: nothing uses it here; it needs optimizer",
    ),
    "unused momentum": ({"momentum": "0.8"}, "needs optimizer=sgd"),
    "ramp from nothing": ({"scheduler": "Ramp", "lr_min_ratio": "0"}, "lr_min_ratio=0: a ramp needs it above 0"),
    "unused by schedule": ({"scheduler": "Default", "lr_min_ratio": "0.2"}, "needs scheduler=WarmupCosine"),
    "unused clip value": ({"clip_value": "1.0"}, "needs clip_algorithm=norm|value|agc|agc_per_tensor|zclip"),
    "unused by architecture": ({"architecture": "fno", "max_hidden_channels": "64"}, "architecture=hybrid"),
    "unused switch": ({"scheduler": "Default", "schedule_in_force": "false"}, "scheduler is not Default"),
    "unused smoothing": ({"probe_smoothing": "1.0"}, "needs probe is a file"),
    "warm-up as long as training": ({"lr_warmup_epochs": "20"}, "must be less than epochs=20"),
    "too deep": ({"fno_blocks": "7"}, "stable_hybrid at N=64 holds at most 6 levels"),
    "cap above the widest": ({"max_hidden_channels": "256"}, "must lie in [32, 256)"),
    "modes": ({"N": "16", "fno_blocks": "3", "outer_offset_test": "20"}, "modes=12: N=16 has only 9"),
    "tiles": ({"N": "16", "modes": "4", "outer_offset_test": "40"}, "outer_offset_test=40: "),
    "image too small": ({"size": "64", "outer_offset_test": "20"}, "the stitched image has 10 px a side"),
    "patch larger than object": ({"size": "50"}, "must fit the object"),
    "nothing left": ({"val_fraction": "0.99"}, "at least one must be left for training"),
    "subset too large": ({"train_patterns": "6143"}, "only 6142 patterns are left"),
    "plateau floor": (
        {"scheduler": "ReduceLROnPlateau", "learning_rate": "1e-5"},
        "must not exceed learning_rate=1e-05",
    ),
    "decay flips weights": ({"optimizer": "sgd", "learning_rate": "1", "weight_decay": "1"}, "weight_decay=1: "),
    "missing probe": ({"probe": "nowhere.npz"}, "no readable file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_value_is_refused_in_one_line(case: str):
    values, message = REFUSED[case]
    with pytest.raises(InputError) as refusal:
        RunConfig.from_flat(values).fingerprint()
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("architecture", "N", "deepest"),
    [
        *(("hybrid", 32, 6), ("hybrid", 64, 7), ("hybrid", 128, 8), ("hybrid", 48, 5)),
        *(("stable_hybrid", 32, 5), ("stable_hybrid", 64, 6), ("stable_hybrid", 128, 7), ("stable_hybrid", 48, 5)),
    ],
)
def test_the_depth_limit_is_where_pixels_run_out(architecture: str, N: int, deepest: int):
    values = {"architecture": architecture, "N": N, "residual": "layerscale"}
    assert RunConfig.from_flat({**values, "fno_blocks": deepest}).model.fno_blocks == deepest
    with pytest.raises(InputError, match=f"at most {deepest} levels"):
        RunConfig.from_flat({**values, "fno_blocks": deepest + 1})


def test_text_is_parsed_to_the_declared_type():
    config = RunConfig.from_flat(
        {"set_phi": "false", "learning_rate": "3e-4", "gridsize": "2", "geometry_seed": "7", "lr_warmup_epochs": "3"}
    )
    assert config.data.set_phi is False
    assert config.training.learning_rate == 0.0003
    assert config.data.gridsize == 2
    assert config.data.geometry_seed == 7
    assert config.training.warmup_epochs == 3


def test_the_hold_out_takes_the_rows_of_the_specification():
    data = RunConfig().data
    assert (data.rows("train"), data.val_rows) == (83, 9)


def test_a_probe_file_counts_by_its_content(tmp_path):
    first, second, other = tmp_path / "a.npy", tmp_path / "b.npy", tmp_path / "c.npy"
    np.save(first, np.ones((64, 64), complex))
    second.write_bytes(first.read_bytes())
    np.save(other, 2 * np.ones((64, 64), complex))
    prints = [RunConfig.from_flat({"probe": str(path)}).fingerprint() for path in (first, second, other)]
    assert prints[0] == prints[1] != prints[2]


def test_execution_stays_out_of_the_fingerprint():
    base = RunConfig()
    assert base.with_changes(accelerator="cpu", threads=2, cache_dir="elsewhere").fingerprint() == base.fingerprint()
    assert base.with_changes(seed=1).fingerprint() != base.fingerprint()
