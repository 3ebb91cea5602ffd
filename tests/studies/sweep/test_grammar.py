"""Ranges from text: what is read, what is refused and in which words."""

from __future__ import annotations

import json

import pytest

from ptycho_mlf.config import InputError, parameters
from ptycho_mlf.studies.sweep.grammar import Choices, Interval, parse_space

GIVEN = {
    "learning_rate": "log:1e-5..1e-1",
    "optimizer": "adam|adamw|sgd",
    "clip_value": "0.1..10",
    "width": "log:4..64",
    "N": "32..64",
    "lr_warmup_epochs": "0..5",
    "set_phi": "true|false",
    "geometry_seed": "legacy|3",
    "layerscale_init": "1e-4|0.001",
    "epochs": "4",
    "probe": "../a..b.npz",
}


def test_a_range_is_what_was_written():
    space = parse_space(GIVEN)
    assert space.ranges == {
        "learning_rate": Interval(1e-5, 0.1, log=True),
        "optimizer": Choices(("adam", "adamw", "sgd")),
        "clip_value": Interval(0.1, 10.0, log=False),
        "width": Interval(4, 64, log=True),
        "N": Interval(32, 64, log=False, step=2),
        "lr_warmup_epochs": Interval(0, 5, log=False),
        "set_phi": Choices((True, False)),
        "geometry_seed": Choices(("legacy", 3)),
        "layerscale_init": Choices((1e-4, 1e-3)),
    }
    assert space.fixed == {"epochs": 4, "probe": "../a..b.npz"}
    whole = {name for name, found in space.ranges.items() if isinstance(found, Interval) and found.whole}
    assert whole == {"width", "N", "lr_warmup_epochs"}


def test_a_space_comes_back_from_json():
    space = parse_space(GIVEN)
    assert parse_space(json.loads(json.dumps(space.texts()))) == space


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("learning_rate", "1e-1..1e-5", "learning_rate=1e-1..1e-5: an empty range"),
        ("learning_rate", "1e-3..1e-3", "empty range"),
        ("clip_value", "log:0..3", "clip_value=log:0..3: a logarithmic range must be positive"),
        ("learning_rate", "0..1", "learning_rate=0: input should be greater than 0"),
        ("momentum", "0..1", "momentum=1: input should be less than 1"),
        ("learning_rate", "nan..1", "finite"),
        ("optimizer", "adam|adagrad", "optimizer=adagrad: input should be 'adam', 'adamw' or 'sgd'"),
        ("optimizer", "adam|", "optimizer=adam|: an empty choice"),
        ("optimizer", "sgd|sgd", "the same choice twice"),
        ("optimizer", "1..2", "join them with |"),
        ("gridsize", "1..2", "join them with |"),
        ("learnin_rate", "1..2", "learnin_rate=1..2: no such parameter; did you mean learning_rate?"),
        ("width", "1.5..3", "width=1.5: input should be a valid integer"),
        ("width", "0..3", "width=0: input should be greater than or equal to 1"),
        ("N", "17..64", "N=17: input should be a multiple of 2"),
        ("N", "log:16..64", "multiples of 2 have no logarithmic range"),
        ("width", "log:4", "a range is written low..high, or log:low..high"),
        ("learning_rate", "1e-5..1e-3..1", "a range is written"),
        ("learning_rate", "a..b", "learning_rate=a: input should be a valid number"),
        ("lr_warmup_epochs", "auto..3", "the ends of a range are numbers"),
        ("seed", "1|2", "seed=1|2: seeds are repeated, not searched"),
        ("threads", "1|2", "threads=1|2: it does not change what is computed"),
        ("epochs", "0", "epochs=0: input should be greater than or equal to 1"),
    ],
)
def test_bad_input_is_one_line_that_names_value_and_rule(name: str, text: str, rule: str):
    with pytest.raises(InputError) as refused:
        parse_space({name: text})
    assert rule in str(refused.value)
    assert str(refused.value).startswith(f"{name}=")
    assert "\n" not in str(refused.value)


def test_every_parameter_can_be_fixed_at_its_default():
    defaults = {name: field.default for _, name, field in parameters()}
    space = parse_space({name: str(value) for name, value in defaults.items()})
    assert dict(space.fixed) == defaults
