"""The conditional space: what a choice does not use is not suggested, and what cannot be is refused early."""

from __future__ import annotations

import optuna
import pytest

from ptycho_mlf.config import InputError, RunConfig
from ptycho_mlf.studies.sweep.grammar import parse_space
from ptycho_mlf.studies.sweep.space import complete, suggest

optuna.logging.set_verbosity(optuna.logging.ERROR)


def draws(given: dict[str, str], n: int) -> list[dict]:
    space = complete(parse_space(given))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    return [suggest(study.ask(), space) for _ in range(n)]


def test_the_default_space_suggests_only_what_is_used():
    drawn = draws({}, 200)
    for point in drawn:
        assert ("clip_value" in point) == (point["clip_algorithm"] != "none")
        assert ("lr_warmup_epochs" in point) == (point["scheduler"] == "WarmupCosine")
        assert RunConfig.from_flat(point).training.learning_rate == point["learning_rate"]
    assert {point["optimizer"] for point in drawn} == {"adam", "adamw", "sgd"}
    assert {point["scheduler"] for point in drawn} == {"Default", "Exponential", "WarmupCosine"}
    rates = [point["learning_rate"] for point in drawn]
    # Uniform in the logarithm: half of them below the geometric middle of 1e-5..1e-1.
    assert sum(rate < 1e-3 for rate in rates) == pytest.approx(100, abs=30)


def test_conditions_chain_whatever_the_order_they_are_given_in():
    """A layer scale needs a residual that needs an architecture; a fixed value is left out where it is not used."""
    given = {
        "layerscale_init": "log:1e-4..1e-1",
        "residual": "layerscale|zero_gamma",
        "architecture": "hybrid|stable_hybrid",
        "momentum": "0.5",
        "optimizer": "adam|sgd",
        "nphotons": "log:1e4..1e9",
        "noise": "none|poisson",
    }
    drawn = draws(given, 100)
    for point in drawn:
        assert ("residual" in point) == (point["architecture"] == "stable_hybrid")
        assert ("layerscale_init" in point) == (point.get("residual") == "layerscale")
        assert ("nphotons" in point) == (point["noise"] == "poisson")
        assert point.get("momentum") == (0.5 if point["optimizer"] == "sgd" else None)
        RunConfig.from_flat(point)
    assert len({frozenset(point) for point in drawn}) == 3 * 2 * 2


def test_whole_numbers_stay_whole_and_on_their_step():
    for point in draws({"width": "log:4..8", "N": "16..32", "modes": "2|4", "fno_blocks": "2..3"}, 30):
        assert isinstance(point["width"], int)
        assert 4 <= point["width"] <= 8
        assert point["N"] % 2 == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"momentum": "0.5..0.9"}, "momentum=0.5..0.9: nothing uses it here; it needs optimizer=sgd"),
        ({"layerscale_init": "0..1", "architecture": "fno|hybrid"}, "it needs architecture=stable_hybrid"),
        ({"split_seed": "1|2"}, "split_seed=1|2: nothing uses it here; it needs train_patterns>0"),
        ({"fno_blocks": "20..30"}, "holds at most 6 levels"),
        ({"learning_rate": "log:1e-3..1e-2", "N": "16", "size": "64", "modes": "12"}, "modes=12: N=16 has only 9"),
    ],
)
def test_a_space_that_leads_nowhere_is_refused(given: dict[str, str], message: str):
    with pytest.raises(InputError, match=r"^\w+=") as refused:
        complete(parse_space(given))
    assert message in str(refused.value)


def test_without_a_range_the_default_space_goes_around_what_is_fixed():
    space = complete(parse_space({"clip_algorithm": "none", "optimizer": "sgd", "epochs": "8", "momentum": "0.5"}))
    assert set(space.ranges) == {"learning_rate", "scheduler", "lr_warmup_epochs"}
    assert space.ranges["lr_warmup_epochs"].high == 4
    assert "lr_warmup_epochs" not in complete(parse_space({"epochs": "1"})).ranges
