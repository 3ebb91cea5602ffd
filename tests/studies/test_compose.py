"""From words of a command line to the plan of a study."""

from __future__ import annotations

import pytest

from ptycho_mlf.config import InputError, RunConfig
from ptycho_mlf.config.describe import default_text
from ptycho_mlf.config.study import study_parameters
from ptycho_mlf.studies.compose import arms_plan, split_execution, threshold_plan
from ptycho_mlf.studies.plan import StudyPlan

SMALL = {"N": "16", "size": "64", "outer_offset_train": "12", "fno_blocks": "2", "width": "4", "modes": "4"}


def test_named_arms_with_overrides_keep_the_rest_of_their_settings():
    plan = arms_plan("arms", {"arms": "stage_a/control,phase8/sgd", "seeds": "7", "epochs": "3"})
    assert list(plan.arms) == ["stage_a/control", "phase8/sgd"]
    assert plan.settings == {"seeds": 7}
    control, sgd = plan.config("stage_a/control"), plan.config("phase8/sgd")
    assert (control.training.clip_algorithm, control.training.epochs) == ("norm", 3)
    assert (sgd.training.optimizer, sgd.training.learning_rate, sgd.training.epochs) == ("sgd", 3e-4, 3)


def test_without_names_the_parameters_are_the_arm():
    plan = arms_plan("arms", {"architecture": "hybrid", **SMALL})
    assert list(plan.arms) == ["hybrid"]
    assert plan.config("hybrid") == RunConfig.from_flat({"architecture": "hybrid", **SMALL})


def test_bars_make_an_arm_of_every_combination():
    plan = arms_plan(
        "arms",
        {
            "architecture": "hybrid|stable_hybrid",
            "optimizer": "adam|sgd",
            "width": "8|16",
        },
    )
    assert len(plan.arms) == 8
    config = plan.config("stable_hybrid-sgd-width=16")
    assert (config.model.architecture, config.training.optimizer, config.model.width) == ("stable_hybrid", "sgd", 16)


def test_an_arm_says_which_switch_is_on():
    plan = arms_plan("arms", {"architecture": "hybrid", "set_phi": "true | false"})
    assert list(plan.arms) == ["hybrid-set_phi=true", "hybrid-set_phi=false"]


def test_bars_multiply_named_arms():
    plan = arms_plan("arms", {"arms": "stage_a/*", "clip_algorithm": "none|norm"})
    assert len(plan.arms) == 6
    assert plan.config("stage_a/stable-norm").training.clip_algorithm == "norm"


def test_an_arm_that_cannot_exist_is_named_with_its_reason_and_not_run():
    plan = arms_plan("stage_b", {})
    assert list(plan.arms) == ["stage_b/control_d6"]
    assert list(plan.impossible) == ["stage_b/control_d8"]
    assert plan.impossible["stage_b/control_d8"]


def test_searches_keep_numbers_only_and_stop_on_collapse_unless_told_otherwise():
    search = threshold_plan({"architecture": "hybrid"}).config("hybrid").telemetry
    assert (search.keep, search.stop_on) == ("evidence", "collapse")
    assert threshold_plan({"keep": "all"}).config("stable_hybrid").telemetry.keep == "all"
    assert arms_plan("arms", {}).config("stable_hybrid").telemetry.keep == "all"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"learning_rate": "1e-3"}, "learning_rate=1e-3: it is what lr_threshold searches"),
        ({"lr_low": "0.1", "lr_high": "0.1"}, "lr_low=0.1: must be less than lr_high=0.1"),
        ({"lr_low": "0"}, "lr_low=0: input should be greater than 0"),
        ({"arms": "stage_a/controll"}, "stage_a/control"),
        ({"widht": "3"}, "did you mean width"),
        ({"optimizer": "adam|sdg"}, "optimizer=sdg"),
        ({"seed": "1|2"}, "seed=1|2: seeds are repeated"),
        (
            {"arms": "phase10/*"},
            "plateau_min_lr=5e-05: must not exceed learning_rate=1e-05; so phase10/plateau cannot be searched there",
        ),
        ({"optimizer": "adam|"}, "optimizer=adam|: an empty choice"),
        ({"optimizer": "adam| adam"}, "optimizer=adam| adam: the same choice twice"),
        ({"max_trials": "0"}, "max_trials=0"),
    ],
)
def test_refuses(values: dict[str, str], words: str):
    with pytest.raises(InputError) as refusal:
        threshold_plan(values)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_what_only_decides_how_is_no_part_of_a_plan():
    wanted, execution = split_execution({"threads": "2", "width": "8", "cache_dir": "x"})
    assert (wanted, execution) == ({"width": "8"}, {"threads": "2", "cache_dir": "x"})


def test_a_plan_survives_its_storage():
    plan = arms_plan("crash_hunt", {"seeds": "2"})
    assert StudyPlan.from_json(plan.to_json()) == plan


def test_the_name_follows_from_what_is_computed_alone():
    plan = arms_plan("arms", {"arms": "stage_a/*", "seeds": "2"})
    assert plan.default_name() == arms_plan("arms", {"arms": "stage_a/*", "seeds": "9"}).default_name()
    assert plan.default_name() != arms_plan("arms", {"arms": "stage_a/*", "epochs": "9"}).default_name()


def test_more_seeds_are_the_same_study_another_rate_is_not():
    plan = arms_plan("arms", {"arms": "stage_a/control"})
    plan.check_same(arms_plan("arms", {"arms": "stage_a/control", "seeds": "40"}), "mine")
    with pytest.raises(InputError, match=r"study=mine: it exists with other settings: .*learning_rate"):
        plan.check_same(arms_plan("arms", {"arms": "stage_a/control", "learning_rate": "2e-3"}), "mine")


def test_a_worker_is_one_process():
    """`workers` would be an option that changes nothing."""
    assert "workers" not in [name for _, name, _, _ in study_parameters("worker")]
    assert "workers" in [name for _, name, _, _ in study_parameters("resume")]


@pytest.mark.parametrize("value", [1e-5, 0.1, 10.0, 0.0123456789, 1234567.0, -1 / 3])
def test_a_number_on_a_command_line_is_the_number(value: float):
    assert float(default_text(value)) == value
