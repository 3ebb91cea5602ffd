"""Events and first movers, planted in series."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ptycho_mlf.telemetry.gradient_statistics import Layer, LayerRows
from ptycho_mlf.telemetry.onset import OnsetWatch, first_moves, moved_together
from ptycho_mlf.telemetry.postmortem import Postmortem, Suspect

LAYERS = [Layer(name, "Conv2d", (k,), 10) for k, name in enumerate("abcde")]


def noise(steps: int, columns: int | None = None, seed: int = 0) -> np.ndarray:
    return 1 + 0.05 * np.random.default_rng(seed).normal(size=steps if columns is None else (steps, columns))


def rows(steps: int = 120, **planted: np.ndarray) -> LayerRows:
    quantities = {
        "grad_norm": noise(steps, 5, 1),
        "weight_norm": 5 + 0.001 * np.arange(steps)[:, None] + np.zeros(5),
        "update_norm": 0.01 * noise(steps, 5, 2),
        "postclip_norm": noise(steps, 5, 1),
    }
    return LayerRows(np.arange(steps), planted.pop("loss", noise(steps)), **{**quantities, **planted})


def watch(losses: Any, finite: Any = None) -> OnsetWatch:
    found = OnsetWatch()
    for step, loss in enumerate(losses):
        found.add(step, loss, finite=np.isfinite(loss) if finite is None else finite[step])
    return found


def test_a_steady_series_has_no_event():
    assert watch(noise(300)).worst is None
    assert watch(np.linspace(3, 0.1, 40)).worst is None


def test_spikes_that_follow_each_other_are_one_event_and_the_worst_is_kept():
    losses = noise(400)
    losses[100:130] = 3
    losses[110] = 8
    losses[300] = 5
    found = watch(losses)
    assert found.events == 2
    event = found.worst
    assert (event.kind, event.step, event.last_step, event.loss) == ("spike", 100, 129, 3)
    assert event.median == pytest.approx(1, abs=0.02)
    assert event.sigma == pytest.approx(0.05, rel=0.3)
    assert event.worst == pytest.approx(8, rel=0.02)


def test_a_later_worse_event_takes_its_place_and_a_nonfinite_one_always_does():
    losses = noise(300)
    losses[100], losses[200] = 5, 9
    assert watch(losses).worst.step == 200
    broken = watch([*losses, np.nan]).worst
    assert (broken.kind, broken.step, broken.nonfinite_step) == ("nonfinite", 300, 300)


def test_the_onset_of_a_nonfinite_step_is_where_the_loss_began_to_rise():
    found = watch([*noise(100), 4, 1, 60, 1e5, np.inf]).worst
    assert (found.kind, found.step, found.nonfinite_step, found.loss) == ("nonfinite", 100, 104, 4)


def test_in_the_first_steps_twice_the_highest_loss_counts():
    assert watch([1, 0.9, 1.9, 1.2]).worst is None
    found = watch([1, 0.9, 2.1, 50, 60]).worst
    assert (found.kind, found.step) == ("jump", 2)


def test_the_layer_that_explodes_first_is_named():
    gradients = noise(120, 5, 1)
    gradients[99:, 2] *= 1e4
    gradients[101:] *= 1e7
    moves = first_moves(rows(grad_norm=gradients), LAYERS, onset=100)
    assert (moves[0].layer, moves[0].quantity, moves[0].step) == ("c", "grad_norm", 99)
    assert moves[0].factor == pytest.approx(1e4, rel=0.2)
    assert {(m.layer, m.step) for m in moves[1:]} == {(name, 101) for name in "abde"}
    assert not moved_together(moves, 5)


def test_a_weight_that_jumps_is_the_cause_of_gradients_in_the_same_step():
    weights = 5 + np.zeros((120, 5))
    weights[100:, 3] *= 2
    gradients = noise(120, 5, 1)
    gradients[100:] *= 1e5
    moves = first_moves(rows(weight_norm=weights, grad_norm=gradients), LAYERS, onset=100)
    assert (moves[0].layer, moves[0].quantity, round(moves[0].factor, 9)) == ("d", "weight_norm", 2)


def test_gradients_that_all_rise_in_one_step_point_at_no_layer():
    gradients = noise(120, 5, 1)
    gradients[100] *= 100
    moves = first_moves(rows(grad_norm=gradients), LAYERS, onset=100)
    assert moved_together(moves, 5)


def test_zeros_and_numbers_that_are_not_finite():
    gradients = noise(120, 5, 1)
    gradients[:, 0] = 0
    gradients[100:, 1] = np.nan
    moves = first_moves(rows(grad_norm=gradients), LAYERS, onset=100)
    assert [(m.layer, m.step, m.factor) for m in moves] == [("b", 100, np.inf)]
    assert first_moves(rows(), LAYERS, onset=100) == []
    assert first_moves(rows(), LAYERS, onset=0) == []


def postmortem(losses: np.ndarray, brightness: list[float]) -> Postmortem:
    seen = watch(losses)
    suspect = Suspect(3, 1, np.array([7, 90, 4]), np.array(brightness))
    return Postmortem(seen.worst, seen.events, LAYERS, rows(len(losses), loss=losses), {}, suspect)


def test_the_unusual_pattern_and_the_recovery_are_told():
    losses = noise(150)
    losses[100:104] = 6
    found = postmortem(losses, [1.1, 1e6, 0.1])
    assert found.recovered_step() == 104
    document = found.as_json()
    assert document["batch"]["unusual_patterns"] == [90, 4]
    assert "Pattern 90 of this batch has 1e+06 times" in document["sentence"]
    assert "back by step 104" in document["sentence"]
    losses[100:] = 6
    assert postmortem(losses, [1, 1, 1]).recovered_step() is None
    assert postmortem(losses, [1, 1, 1]).suspect.unusual == []
