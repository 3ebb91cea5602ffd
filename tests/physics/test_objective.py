"""The configured loss and its weighted terms."""

from typing import get_args

import pytest
import torch

from ptycho_mlf.config import InputError, TrainingConfig
from ptycho_mlf.physics import regularisers
from ptycho_mlf.physics.losses import poisson
from ptycho_mlf.physics.objective import Objective

GENERATOR = torch.Generator().manual_seed(0)
OBJECT, TRUTH = (torch.randn(2, 1, 8, 8, dtype=torch.complex64, generator=GENERATOR) for _ in range(2))
A, X = (torch.rand(2, 1, 8, 8, generator=GENERATOR) + 0.1 for _ in range(2))
NAMES = get_args(TrainingConfig.model_fields["loss"].annotation)
TERMS = {
    "tv_amp_weight": regularisers.variation_amp,
    "tv_phase_weight": regularisers.variation_phase,
    "mean_dev_amp_weight": regularisers.deviation_amp,
    "mean_dev_phase_weight": regularisers.deviation_phase,
}


def value(intensity_scale=30.0, **settings):
    return Objective(TrainingConfig(**settings), intensity_scale)(OBJECT, A, X, TRUTH).item()


def test_every_declared_loss_exists_and_differs():
    values = [value(loss=name) for name in NAMES]
    assert len(set(values)) == len(NAMES) == 5


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("loss", ["mae", "supervised"])
def test_each_weight_adds_its_own_term(loss, name):
    added = value(loss=loss, **{name: 0.5}) - value(loss=loss)
    assert added == pytest.approx(0.5 * TERMS[name](OBJECT).item(), rel=1e-4)


def test_all_weights_together():
    weights = {name: 0.1 * (i + 1) for i, name in enumerate(TERMS)}
    expected = value() + sum(weight * TERMS[name](OBJECT).item() for name, weight in weights.items())
    assert value(**weights) == pytest.approx(expected, rel=1e-5)


def test_poisson_takes_the_intensity_scale_and_eps():
    expected = poisson(A, X, intensity_scale=7.0, eps=2.0).item()
    assert value(loss="poisson", intensity_scale=7.0, poisson_eps=2.0) == expected
    assert value(loss="poisson", intensity_scale=7.0) != expected


def test_supervised_needs_the_truth_and_nothing_else_does():
    for name in NAMES:
        objective = Objective(TrainingConfig(loss=name), 30.0)
        assert objective.needs_truth == (name == "supervised")
        if objective.needs_truth:
            with pytest.raises(InputError, match="loss=supervised: the true object must be known"):
                objective(OBJECT, A, X)
        else:
            assert objective(OBJECT, A, X) == objective(OBJECT, A, X, TRUTH)
