"""The named arms: held against a table written by hand, their variants, names, files and overrides."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ptycho_mlf.config import InputError, RunConfig
from ptycho_mlf.studies.arms import VARIANTS, Arm, Variant, arm_config, find_arms, impossible_reason, list_arms
from ptycho_mlf.studies.arms_reference import arms_help, arms_text

ROOT = Path(__file__).parents[2]

# name: network, levels, optimizer, rate, schedule, clipping, threshold in force, epochs.
CLEAN = {
    "stage_a/control": ("hybrid", 4, "adam", 1e-3, "Default", "norm", 1.0, 50),
    "stage_a/stable": ("zero_gamma", 4, "adam", 1e-3, "Default", "none", 0.0, 50),
    "stage_a/agc": ("hybrid", 4, "adam", 1e-3, "Default", "agc", 0.01, 50),
    "stage_b/control_d6": ("hybrid", 6, "adam", 1e-3, "Default", "norm", 1.0, 50),
    "phase5/layerscale": ("layerscale", 4, "adam", 1e-3, "Default", "none", 0.0, 50),
    "phase6/warmup": ("layerscale", 4, "adam", 5e-4, "WarmupCosine", "none", 0.0, 20),
    "phase7/lowlr": ("layerscale", 4, "adam", 2.5e-4, "Default", "none", 0.0, 20),
    "phase7/warmup_lowlr": ("layerscale", 4, "adam", 2.5e-4, "WarmupCosine", "none", 0.0, 20),
    "phase7/warmup_clip": ("layerscale", 4, "adam", 5e-4, "WarmupCosine", "norm", 0.5, 20),
    "phase8/sgd": ("layerscale", 4, "sgd", 3e-4, "WarmupCosine", "none", 0.0, 20),
    "phase8/adamw": ("layerscale", 4, "adamw", 3e-4, "WarmupCosine", "none", 0.0, 20),
    "phase9/depth4": ("hybrid", 4, "adam", 1e-3, "Default", "norm", 1.0, 30),
    "phase9/depth6": ("hybrid", 6, "adam", 1e-3, "Default", "norm", 1.0, 30),
    "phase10/plateau": ("hybrid", 4, "adam", 1e-3, "ReduceLROnPlateau", "norm", 1.0, 20),
    "phase10/control": ("hybrid", 4, "adam", 1e-3, "Default", "norm", 1.0, 20),
}
IMPOSSIBLE = {"stage_b/control_d8", "phase9/depth8"}
# What ran instead of it, where that is not what was meant.
EFFECTIVE: Mapping[str, Mapping[str, Any]] = {
    "stage_a/agc": {"clip_algorithm": "norm", "clip_value": 0.01},
    "stage_b/control_d6": {"max_hidden_channels": 0},
    "phase8/sgd": {"optimizer": "adam"},
    "phase8/adamw": {"optimizer": "adam", "weight_decay": 0.0},
}
COMMON = {
    "N": 64,
    "gridsize": 1,
    "object": "lines",
    "nphotons": 1e9,
    "loss": "mae",
    "batch_size": 16,
    "width": 32,
    "modes": 12,
    "seed": 20260128,
    "probe": "zone_plate",
}
# name: (clean, as the earlier study ran it)
SWITCHES = {
    "physics_gain": ("unit", "batch_size"),
    "probe_for_model": ("simulated", "div4"),
    "spectral": ("two_sided", "one_sided"),
    "val_source": ("holdout", "test"),
    "score": ("both", "last"),
    "seed_scope": ("all", "weights"),
    "nimgs_train": (1, 2),
    "nimgs_test": (1, 2),
    "set_phi": (True, False),
}


def key_settings(config: RunConfig) -> tuple[Any, ...]:
    model, training = config.model, config.training
    return (
        model.residual if model.architecture == "stable_hybrid" else model.architecture,
        model.fno_blocks,
        training.optimizer,
        training.learning_rate,
        training.scheduler,
        training.clip_algorithm,
        training.clip_threshold,
        training.epochs,
    )


def one(name: str, variant: Variant = "clean") -> Arm:
    (arm,) = find_arms(name, variant)
    return arm


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_arm_is_a_valid_run_or_impossible_with_a_reason(variant: Variant):
    arms = list_arms(variant)
    assert {arm.name.partition("@")[0] for arm in arms} == set(CLEAN) | IMPOSSIBLE
    for arm in arms:
        assert arm.description
        assert arm.evidence
        if arm.name.partition("@")[0] in IMPOSSIBLE:
            assert "hybrid at N=64 holds at most 7 levels" in arm.impossible
        else:
            assert not arm.impossible
            arm_config(arm)


@pytest.mark.parametrize("name", CLEAN)
def test_an_arm_is_what_was_meant_and_as_run_what_was_in_force(name: str):
    clean, as_run = arm_config(one(name)), arm_config(one(name, "as_run"))
    assert key_settings(clean) == CLEAN[name]
    for config, which in ((clean, 0), (as_run, 1)):
        flat = config.flat()
        assert {key: flat[key] for key in COMMON} == COMMON
        assert {key: flat[key] for key in SWITCHES} == {key: values[which] for key, values in SWITCHES.items()}
    changed = {key for key, value in as_run.flat().items() if value != clean.flat()[key]}
    effective = EFFECTIVE.get(name, {})
    constant = {"schedule_in_force": False} if CLEAN[name][4] != "Default" else {}
    meant = {key for key, value in effective.items() if value != clean.flat()[key]}
    assert changed == set(SWITCHES) | meant | set(constant)
    assert {key: as_run.flat()[key] for key in {**effective, **constant}} == {**effective, **constant}


def test_what_the_key_settings_do_not_show():
    for name in CLEAN:
        flat = arm_config(one(name)).flat()
        if flat["architecture"] == "stable_hybrid":
            assert flat["layerscale_init"] == 1e-3
        if flat["scheduler"] == "WarmupCosine":
            assert arm_config(one(name)).training.warmup_epochs == 5
            assert (flat["lr_min_ratio"], flat["scheduler_interval"]) == (0.05, "epoch")
        assert flat["max_hidden_channels"] == (512 if name == "stage_b/control_d6" else 0)
        assert flat["weight_decay"] == (0.01 if name == "phase8/adamw" else 0.0)
    plateau = arm_config(one("phase10/plateau")).training
    assert (plateau.plateau_patience, plateau.plateau_factor) == (2, 0.5)
    assert arm_config(one("phase8/sgd")).training.momentum == 0.9


def test_only_the_arms_whose_optimizer_was_lost_are_the_same_run():
    names: dict[str, list[str]] = {}
    for arm in find_arms("all") + find_arms("all", "as_run"):
        if not arm.impossible:
            names.setdefault(arm_config(arm).fingerprint(), []).append(arm.name)
    assert [same for same in names.values() if len(same) > 1] == [["phase8/sgd@as_run", "phase8/adamw@as_run"]]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("phase8/sgd", ["phase8/sgd"]),
        (" stage_a/agc , stage_a/control,", ["stage_a/agc", "stage_a/control"]),
        ("phase7/*", ["phase7/lowlr", "phase7/warmup_lowlr", "phase7/warmup_clip"]),
        ("phase9/depth[46],phase9/*", ["phase9/depth4", "phase9/depth6", "phase9/depth8"]),
        ("stage_a/agc@as_run,stage_a/agc", ["stage_a/agc@as_run", "stage_a/agc"]),
    ],
)
def test_arms_are_found_by_name_and_pattern(names: str, expected: list[str]):
    assert [arm.name for arm in find_arms(names)] == expected


def test_all_are_all_and_a_named_variant_wins():
    assert len(find_arms("all")) == 17
    assert one("phase8/sgd@clean", "as_run") == one("phase8/sgd")
    assert one("phase8/sgd", "as_run").name == "phase8/sgd@as_run"
    assert one("phase8/sgd").phase == "phase8"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("phase7/warmup_lowl", "arms=phase7/warmup_lowl: no such arm; did you mean phase7/warmup_lowlr?"),
        ("stage_a/control,agc", "arms=agc: no such arm; did you mean stage_a/agc?"),
        ("phase77/*", "no such arm; did you mean phase7/"),
        ("xyz", "arms=xyz: no such arm; there are stage_a/control, "),
        ("", "must name at least one arm of stage_a/control, "),
        ("stage_a/agc@dirty", "the variant after @ must be one of clean, as_run"),
        ("nowhere.json", "arms=nowhere.json: no readable file"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(names: str, message: str):
    with pytest.raises(InputError) as refusal:
        find_arms(names)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_overrides_win_and_what_they_leave_unused_falls_away():
    adamw = arm_config(one("phase8/adamw"), {"optimizer": "sgd", "momentum": "0.5", "N": "32"})
    assert (adamw.training.optimizer, adamw.training.momentum, adamw.data.N) == ("sgd", 0.5, 32)
    constant = arm_config(one("phase6/warmup", "as_run"), {"scheduler": "Default"})
    assert (constant.training.scheduler_interval, constant.replication.schedule_in_force) == ("step", True)
    unclipped = arm_config(one("phase7/warmup_clip"), {"clip_algorithm": "none"})
    assert unclipped.training.clip_value == 0
    smaller = arm_config(one("stage_b/control_d6"), {"width": "8"})
    assert smaller.model.max_hidden_channels == 0
    fno = arm_config(one("stage_a/stable", "as_run"), {"architecture": "ffno"})
    assert (fno.model.residual, fno.model.spectral) == ("layerscale", "two_sided")
    assert arm_config(one("phase6/warmup"), {"epochs": "3"}).training.warmup_epochs == 0


def test_a_threshold_does_not_go_over_to_another_algorithm():
    control = one("stage_a/control")
    assert arm_config(control, {"clip_algorithm": "agc"}).training.clip_threshold == 0.01
    assert arm_config(control, {"clip_algorithm": "norm"}).training.clip_threshold == 1.0
    assert arm_config(control, {"clip_algorithm": "agc", "clip_value": 0.1}).training.clip_threshold == 0.1


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("phase8/sgd", {"beta1": "0.8"}, "beta1=0.8: nothing uses it here; it needs optimizer=adam|adamw"),
        ("phase8/sgd", {"learning_rat": "1"}, "learning_rat=1: no such parameter; did you mean learning_rate?"),
        ("phase8/sgd", {"epochs": "2.5"}, "epochs=2.5: "),
        ("stage_b/control_d6", {"max_hidden_channels": "2048"}, "max_hidden_channels=2048: must lie in [32, 1024)"),
    ],
)
def test_an_override_is_always_checked(name: str, overrides: dict[str, str], message: str):
    for check in (arm_config, impossible_reason):
        with pytest.raises(InputError) as refusal:
            check(one(name), overrides)
        assert message in str(refusal.value)


def test_whether_an_arm_is_possible_depends_on_the_size():
    deep = one("stage_b/control_d8")
    assert impossible_reason(deep, {"N": 128}) == ""
    assert arm_config(deep, {"N": 128}).model.max_hidden_channels == 512
    assert "at most 6 levels" in impossible_reason(deep, {"N": "32"})
    assert "at most 6 levels" in impossible_reason(one("stage_a/stable"), {"fno_blocks": "7"})
    with pytest.raises(InputError, match="at N=64 holds at most 7 levels"):
        arm_config(deep)


MINE = {
    "common": {"N": 32, "width": 16},
    "arms": {
        "mine/adam": {"settings": {"learning_rate": 1e-3}, "as_run": {"score": "last"}},
        "mine/sgd": {"settings": {"optimizer": "sgd", "momentum": 0.5}, "as_run": {"optimizer": "adam"}},
    },
}


def test_a_file_of_arms(tmp_path: Path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(MINE))
    found = find_arms(f"{path},stage_a/control")
    assert [arm.name for arm in found] == ["mine/adam", "mine/sgd", "stage_a/control"]
    configs = [arm_config(arm, {"modes": "4"}) for arm in found]
    assert [(c.data.N, c.model.width, c.model.modes) for c in configs] == [(32, 16, 4), (32, 16, 4), (64, 32, 4)]
    as_run = [arm_config(arm) for arm in find_arms(str(path), "as_run")]
    assert [(c.replication.score, c.training.optimizer) for c in as_run] == [("last", "adam"), ("both", "adam")]


@pytest.mark.parametrize(
    ("content", "variant", "message"),
    [
        ("{", "clean", "no JSON text"),
        ('{"arms": {}}', "clean", "holds no arm"),
        ('{"arm": {}}', "clean", "arms: field required"),
        ('{"arms": {"a": {"setings": {}}}}', "clean", "arms.a.settings: field required"),
        ('{"arms": {"a": {"settings": {"widht": 8}}}}', "clean", "a: widht=8: no such parameter; did you mean width?"),
        ('{"arms": {"a": {"settings": {"beta1": 0.5, "optimizer": "sgd"}}}}', "clean", "a: beta1=0.5: nothing uses it"),
        ('{"arms": {"a*": {"settings": {}}}}', "clean", "must not be empty or hold any of"),
        ('{"arms": {"a": {"settings": {}}}}', "as_run", "a: there is no as_run for it"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, content: str, variant: Variant, message: str):
    path = tmp_path / "mine.json"
    path.write_text(content)
    with pytest.raises(InputError) as refusal:
        find_arms(str(path), variant)
    assert message in str(refusal.value)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_two_arms_of_one_name_are_refused(tmp_path: Path):
    path = tmp_path / "mine.json"
    path.write_text('{"arms": {"stage_a/agc": {"settings": {}}}}')
    with pytest.raises(InputError, match="two different arms are named stage_a/agc"):
        find_arms(f"{path},stage_a/agc")


def test_the_page_of_the_arms_is_what_the_data_give():
    assert (ROOT / "docs" / "arms.md").read_text() == arms_text()


def test_the_example_of_the_page_is_a_file_of_arms(tmp_path: Path):
    path = tmp_path / "mine.json"
    path.write_text(arms_text().partition("```json\n")[2].partition("```")[0])
    assert [arm_config(arm).training.optimizer for arm in find_arms(str(path))] == ["adam", "sgd"]


def test_help_names_every_arm():
    assert [line.split()[0] for line in arms_help().splitlines()] == [arm.name for arm in list_arms()]
