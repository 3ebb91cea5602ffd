"""The plan of a sweep: what makes it the same study."""

from __future__ import annotations

import pytest

from ptycho_mlf.config import InputError
from ptycho_mlf.studies.sweep.sweep_plan import sweep_plan

GIVEN = {"learning_rate": "log:1e-4..1e-2", "objective": "val_loss", "epochs": "3"}


def test_the_plan_of_a_sweep_keeps_its_space_and_settings():
    plan = sweep_plan({**GIVEN, "max_trials": "7"})
    assert plan.space["learning_rate"] == "log:0.0001..0.01"
    assert plan.space["epochs"] == "3"
    assert plan.space["keep"] == "evidence"
    assert plan.settings == {"seeds_per_point": 1, "max_trials": 7, "objective": "val_loss", "early_ending": True}
    assert type(plan).from_json(plan.to_json()) == plan
    more = sweep_plan({**GIVEN, "max_trials": "9"})
    assert more.default_name() == plan.default_name()
    seeds = sweep_plan({**GIVEN, "max_trials": "7", "seeds": "2"})
    assert seeds.default_name() != plan.default_name()


def test_losses_on_different_data_are_not_searched():
    with pytest.raises(InputError, match=r"nphotons=log:10000\.0\.\.1000000\.0: losses on different data"):
        sweep_plan({**GIVEN, "nphotons": "log:1e4..1e6"})
    assert sweep_plan({**GIVEN, "nphotons": "log:1e4..1e6", "objective": "skill"}).space["nphotons"]
