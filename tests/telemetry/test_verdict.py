"""Verdicts on constructed trainings: order of the rules, onset, trigger, causes, hints, finality."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ptycho_mlf.telemetry.course import Course
from ptycho_mlf.telemetry.signals import References, Signals
from ptycho_mlf.telemetry.trace import COLUMNS, Rows
from ptycho_mlf.telemetry.verdict import is_final, judge, running_verdict
from ptycho_mlf.telemetry.verdict_names import VerdictName

TRUTH = References(floor=0.2, spatial=0.2, cross_pattern=0.15, phase=0.1)
GOOD = Signals(0, 0.05, 0.19, 0.14, 0.09, None, {"body.decoder.0": 0.1})
UNTRAINED = Signals(0, 0.6, 0.008, 0.005, 0.008, None, {})
EPOCH = 40


def rows(steps: int, **columns: Any) -> Rows:
    """Steps of a calm training."""
    calm = {"loss": 0.05, "grad_norm_preclip": 1.0, "contrast_spatial": 0.19, "contrast_cross_pattern": 0.14}
    values = {name: np.full(steps, 1e-3) for name in COLUMNS}
    values |= {"step": np.arange(steps), "epoch": np.arange(steps) // EPOCH}
    values |= {name: np.full(steps, value) for name, value in calm.items()}
    return Rows(values | {name: np.asarray(value, float) for name, value in columns.items()})


def course(
    *seen: Signals, references: References = TRUTH, initial: Signals | None = UNTRAINED, **columns: Any
) -> Course:
    """Validations at epoch ends."""
    validations = [replace(s, step=EPOCH * k) for k, s in enumerate(seen, start=1)]
    return Course(rows(EPOCH * len(seen), **columns), initial, validations, references)


FLAT = replace(GOOD, loss=0.2, spatial=0.01, cross_pattern=0.01)


@pytest.mark.parametrize(
    ("best", "last", "name"),
    [
        (0.05, {}, "healthy"),
        (0.05, {"loss": 0.074}, "healthy"),
        (0.05, {"loss": 0.076}, "spike"),
        (0.05, {"loss": 1.01}, "diverged"),
        (0.05, {"loss": 0.99}, "lost"),
        (0.101, {"loss": 0.181}, "spike"),
        (0.099, {"loss": 0.179}, "spike"),
        (0.181, {"loss": 0.181}, "stagnated"),
        (0.181, {"loss": 0.2, "dead_channels": {"a": 0.991}}, "dead_layer"),
        (0.05, {"loss": 0.2, "dead_channels": {"a": 0.991}}, "lost"),
        (0.181, {"loss": 0.2, "dead_channels": {"a": 0.99}}, "stagnated"),
        (0.05, {"phase": 0.0099}, "flat_phase"),
        (0.05, {"phase": 0.0101}, "healthy"),
        (0.19, {"loss": 0.181, "cross_pattern": 0.0149}, "input_independent"),
        (0.19, {"loss": 0.179, "cross_pattern": 0.0149}, "healthy"),
        (0.19, {"loss": 0.181, "cross_pattern": 0.0151}, "stagnated"),
        (0.19, {"loss": 0.181, "spatial": 0.0199}, "flat_amplitude"),
        (0.19, {"loss": 0.181, "spatial": 0.0201}, "stagnated"),
        (0.05, {"spatial": 0.0009}, "flat_amplitude"),
        (0.05, {"spatial": 0.0011}, "healthy"),
        (0.19, {"loss": 0.2, "spatial": 0.01, "head_saturation": 0.991}, "saturated_head"),
        (0.05, {"head_saturation": 0.991}, "healthy"),
        (0.05, {"loss": 2.0, "spatial": 0.01, "head_saturation": 1.0}, "diverged"),
        (0.05, {"loss": float("nan")}, "nonfinite"),
    ],
)
def test_the_first_rule_that_matches_wins(best: float, last: dict[str, Any], name: VerdictName):
    verdict = judge(course(replace(GOOD, loss=best), replace(GOOD, **last)))
    assert verdict.name == name
    assert verdict.sentence.endswith(".")
    assert verdict.crash is {"stagnated": None, "healthy": False, "spike": False}.get(name, True)


def test_a_single_epoch_can_diverge():
    """The best loss of a one-epoch run is its last one: the initial loss counts as well."""
    assert judge(course(replace(GOOD, loss=5.0))).name == "diverged"
    assert judge(course(replace(GOOD, loss=5.0), initial=replace(UNTRAINED, loss=20.0))).name == "stagnated"


def test_without_truth_absolute_bounds_take_over():
    blind = References(0.2, None, None, None)
    for last, name in [
        ({"spatial": 0.0099}, "flat_amplitude"),
        ({"cross_pattern": 0.0099}, "input_independent"),
        ({"spatial": 0.011, "cross_pattern": 0.011, "phase": 0.0}, "stagnated"),
    ]:
        found = judge(course(replace(GOOD, loss=0.19), replace(GOOD, **{"loss": 0.19, **last}), references=blind))
        assert found.name == name


def test_what_the_truth_does_not_have_is_not_missed():
    real = replace(TRUTH, phase=5e-4)
    assert judge(course(replace(GOOD, phase=0.0), references=real)).name == "healthy"
    smooth = replace(TRUTH, spatial=2e-3)
    assert judge(course(replace(GOOD, spatial=9e-4), references=smooth)).name == "healthy"
    assert judge(course(replace(GOOD, spatial=1.9e-4), references=smooth)).name == "flat_amplitude"


def test_an_untrained_network_is_flat_and_has_not_collapsed():
    """Contrast that never rose and never fell: the learning rate was too low."""
    flat = {
        "contrast_spatial": np.full(80, 0.009),
        "contrast_cross_pattern": np.full(80, 0.006),
        "loss": np.full(80, 0.5),
    }
    still = replace(UNTRAINED, loss=0.5, spatial=0.009, cross_pattern=0.006)
    verdict = judge(course(still, still, **flat))
    assert (verdict.name, verdict.onset_step, verdict.crash) == ("stagnated", None, None)
    assert "too low" in (verdict.hint or "")
    assert "learning_rate=0.003" in (verdict.hint or "")
    assert "-e lr_threshold" in (verdict.hint or "")
    fallen = replace(still, cross_pattern=0.0004)
    assert judge(course(still, fallen, **flat)).name == "flat_amplitude"
    # It had structure in between.
    flat["contrast_spatial"][30:50] = flat["contrast_cross_pattern"][30:50] = 0.1
    assert judge(course(still, still, **flat)).name == "flat_amplitude"


def test_hints_follow_the_loss():
    assert "too high" in (judge(course(replace(GOOD, loss=0.19), replace(GOOD, loss=0.5, spatial=0.1))).hint or "")
    poor = replace(GOOD, loss=0.17)
    assert "too low" in (judge(course(poor)).hint or "")
    assert judge(course(GOOD)).hint is None
    assert judge(course(GOOD, FLAT)).hint is None


def test_the_onset_is_found_to_the_step_and_its_trigger_named():
    loss, contrast = np.full(160, 0.05), np.full(160, 0.19)
    loss += 1e-3 * np.random.default_rng(0).normal(size=160)
    loss[20], loss[75], loss[77], loss[83:] = 9.0, 3.0, 4.0, 0.2
    contrast[83:] = 0.003
    contrast[100] = 0.19  # one odd batch does not end the state
    flat = {"contrast_spatial": contrast, "contrast_cross_pattern": contrast, "loss": loss}
    verdict = judge(course(GOOD, GOOD, FLAT, FLAT, **flat))
    assert (verdict.name, verdict.onset_step) == ("flat_amplitude", 83)
    assert verdict.trigger is not None
    assert (verdict.trigger.step, verdict.trigger.series, verdict.trigger.value) == (77, "loss", 4.0)
    assert verdict.trigger.sigmas == pytest.approx(4000, rel=0.3)
    # Steps 75, 77 and those after 83, until they are the majority of the steps before.
    assert verdict.spike_score["loss"] == pytest.approx(100 * 79 / 110)
    assert verdict.spike_score["grad_norm_preclip"] == 0


def test_validations_bracket_the_onset():
    """Batches looked flat early on, a later validation did not: it began after that."""
    contrast = np.full(160, 0.003)
    contrast[60:64] = 0.19
    verdict = judge(course(GOOD, GOOD, FLAT, FLAT, contrast_spatial=contrast, contrast_cross_pattern=contrast))
    assert verdict.onset_step == 80
    phase = judge(course(GOOD, replace(GOOD, phase=0.0), replace(GOOD, phase=0.0)))
    assert phase.onset_step == 80


def test_a_nonfinite_step_is_the_onset():
    loss = np.full(60, 0.05)
    loss[59] = np.inf
    unfinished = Course(rows(60, loss=loss), UNTRAINED, [replace(GOOD, step=40)], TRUTH)
    verdict = judge(unfinished)
    assert (verdict.name, verdict.onset_step, verdict.crash) == ("nonfinite", 59, True)
    assert running_verdict(unfinished) == "nonfinite"
    assert is_final(unfinished)


def test_out_of_memory_comes_first_and_counts_neither_way():
    verdict = judge(Course(rows(0), None, [], TRUTH), out_of_memory=True)
    assert (verdict.name, verdict.onset_step, verdict.crash) == ("oom", 0, None)
    with pytest.raises(ValueError, match="validation"):
        judge(Course(rows(0), None, [], TRUTH))


def test_dead_layers_are_the_cause_of_a_bad_end_and_a_warning_beside_a_good_one():
    dead = {"dead_channels": {"body.decoder.0": 1.0, "body.decoder.1": 0.5}, "head_saturation": 1.0}
    bad = judge(course(GOOD, replace(FLAT, **{**dead, "head_saturation": 0.2})))
    assert (bad.name, bad.cause, bad.warnings) == ("flat_amplitude", ("dead_layer: body.decoder.0",), ())
    good = judge(course(replace(GOOD, **dead)))
    assert (good.name, good.cause) == ("healthy", ())
    assert good.warnings == ("saturated_head", "dead_layer: body.decoder.0")
    diverged = judge(course(GOOD, replace(FLAT, loss=2.0, head_saturation=1.0)))
    assert (diverged.name, diverged.cause) == ("diverged", ("saturated_head",))


@pytest.mark.parametrize(
    ("seen", "final"),
    [
        ([GOOD, FLAT, FLAT, FLAT, FLAT], True),
        ([GOOD, FLAT, FLAT, FLAT], False),  # 80 steps
        ([GOOD, FLAT, FLAT, GOOD, FLAT, FLAT], False),
        ([GOOD] * 5, False),
        ([GOOD, *[replace(GOOD, loss=0.19)] * 4], True),  # lost
        ([GOOD, *[replace(GOOD, phase=0.0)] * 4], False),
        ([replace(GOOD, loss=0.19)] * 5, False),  # at the floor with full contrast: a slow learner
    ],
)
def test_a_collapse_is_final_after_a_hundred_steps(seen: list[Signals], final: bool):
    assert is_final(course(*seen)) is final


def test_a_network_that_has_not_begun_is_left_alone():
    still = replace(UNTRAINED, spatial=0.009, cross_pattern=0.006)
    flat = {"contrast_spatial": np.full(200, 0.009), "contrast_cross_pattern": np.full(200, 0.006)}
    assert not is_final(course(*[still] * 5, **flat))
    fallen = replace(still, cross_pattern=0.0)
    assert is_final(course(*[fallen] * 5, **flat))
